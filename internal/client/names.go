package client

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

const (
	maxName = 80  // letters
	maxText = 400 // letters
)

// nameFault says what is wrong with a name that people are to recognise a service by; empty when
// nothing is.
func nameFault(name string) string {
	switch {
	case utf8.RuneCountInString(name) > maxName:
		return "is longer than 80 letters"
	case !norm.NFC.IsNormalString(name):
		return "is written with combining signs; use composed letters (Unicode NFC)"
	case !strings.ContainsFunc(name, unicode.IsLetter):
		return "has no letter in it"
	case strings.ContainsFunc(name, func(r rune) bool { return unicode.IsLetter(r) && !familiar(r) }):
		return "holds letters of another script or alphabet, which can look like Vietnamese ones"
	case strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsLetter(r) && !plainSign(r) }):
		return "holds digits, blanks or signs other than the usual ones"
	}
	return ""
}

// familiar reports whether a letter is a Latin one that Skeleton reads as letters from a to z. Others
// could stand for one of these unnoticed: ɡ is g to the eye, ᴠ is v.
func familiar(r rune) bool {
	s := Skeleton(string(r))
	return unicode.Is(unicode.Latin, r) && s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz") == ""
}

// plainSign reports whether people see a character, and cannot take it for a letter.
func plainSign(r rune) bool {
	return r >= ' ' && r <= '~' && r != '|' || strings.ContainsRune("–—’‘“”·…№", r)
}

// look folds letters that people confuse.
var look = strings.NewReplacer("đ", "d", "ð", "d", "ł", "l", "ø", "o", "æ", "ae", "œ", "oe", "ß", "ss", "ı", "l",
	"0", "o", "1", "l", "i", "l", "5", "s", "vv", "w", "rn", "m")

// Skeleton reduces a name to what the eye takes in: without case, accents, signs and blanks, with
// letters that look alike made equal. Two relying parties may not share one.
func Skeleton(name string) string {
	var b strings.Builder
	for _, r := range norm.NFKD.String(strings.ToLower(name)) {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			b.WriteRune(r)
		}
	}
	return look.Replace(b.String())
}

// ours are names under which people know the electronic identity.
var ours = []string{Skeleton("VNeID"), Skeleton("Định danh điện tử"), Skeleton("Electronic identity"), Skeleton("National e-ID")}

// oursToTheEye reports whether people would take the name of that skeleton for ours.
func oursToTheEye(skeleton string) bool {
	return slices.ContainsFunc(ours, func(name string) bool { return strings.Contains(skeleton, name) })
}
