package signin

import "strings"

// mark is a word in a User-Agent that tells a browser or a system; the order matters, because
// most browsers also name the ones they resemble.
type mark struct{ word, name string }

var (
	browserMarks = []mark{
		{"Edg", "Edge"}, {"OPR/", "Opera"}, {"SamsungBrowser/", "Samsung Internet"}, {"coc_coc_browser", "Cốc Cốc"}, {"Zalo", "Zalo"},
		{"Firefox/", "Firefox"}, {"FxiOS/", "Firefox"}, {"CriOS/", "Chrome"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"},
	}
	systemMarks = []mark{
		{"Android", "Android"}, {"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Windows", "Windows"}, {"CrOS", "ChromeOS"},
		{"Mac OS X", "macOS"}, {"Linux", "Linux"},
	}
)

// browserLabel says which browser it was in words that a person knows: "Chrome/Android". A part
// that is not recognised is empty; nothing of the User-Agent itself is kept.
func browserLabel(userAgent string) string {
	return find(userAgent, browserMarks) + "/" + find(userAgent, systemMarks)
}

func find(userAgent string, marks []mark) string {
	if len(userAgent) > 1000 {
		return ""
	}
	for _, m := range marks {
		if strings.Contains(userAgent, m.word) {
			return m.name
		}
	}
	return ""
}
