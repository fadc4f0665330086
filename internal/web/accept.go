package web

import (
	"net/http"
	"strconv"
	"strings"
)

// PrefersJSON reports whether the Accept header wants JSON more than HTML (RFC 9110, section
// 12.5.1), or equally and names it first: that is a program, not a browser. Wildcards say nothing.
func PrefersJSON(r *http.Request) bool {
	var json, html float64
	first := false
	for _, part := range strings.Split(strings.Join(r.Header.Values("Accept"), ","), ",") {
		media, parameters, _ := strings.Cut(part, ";")
		q := quality(parameters)
		switch strings.ToLower(strings.TrimSpace(media)) {
		case "application/json":
			first = first || html == 0
			json = max(json, q)
		case "text/html", "application/xhtml+xml":
			html = max(html, q)
		}
	}
	return json > html || json > 0 && json == html && first
}

// quality is the q of a media range; 1 when it is absent or cannot be read.
func quality(parameters string) float64 {
	for _, p := range strings.Split(parameters, ";") {
		if value, found := strings.CutPrefix(strings.TrimSpace(p), "q="); found {
			if q, err := strconv.ParseFloat(value, 64); err == nil && q >= 0 && q <= 1 {
				return q
			}
		}
	}
	return 1
}
