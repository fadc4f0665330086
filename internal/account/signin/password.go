package signin

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/fault"
)

// errWrong is the one answer to an unknown number, a wrong password and a right password while no
// more may be tried.
var errWrong = fmt.Errorf("number or password not right: %w", fault.Denied)

// checkPassword verifies number and password. The try is counted before the hash is computed, and
// the same hash is computed for a number that nobody has.
func (s *Service) checkPassword(ctx context.Context, n account.NationalID, password, browser string) (account.Account, Credentials, bool, error) {
	leave, err := s.pool.enter(ctx)
	if err != nil {
		return account.Account{}, Credentials{}, false, err
	}
	defer leave()
	holder, secrets, err := s.Accounts.ByNumber(ctx, n)
	unknown := errors.Is(err, fault.NotFound)
	if unknown {
		secrets.Password, err = s.dummy, nil
	}
	if err != nil {
		return holder, secrets, false, fmt.Errorf("check password: %w", err)
	}
	familiar, err := s.SignIns.Familiar(ctx, holder.ID, browser)
	if err != nil {
		return holder, secrets, false, fmt.Errorf("check password: %w", err)
	}
	known := familiar >= Known
	err = s.tryPassword(ctx, Try{Who: s.who(n), Kind: TriesPassword, Scope: scopeOf(browser, known)}, secrets.Password, password)
	if unknown && err == nil {
		err = errWrong // nobody knows the password of the dummy; and if somebody did, it opens nothing
	}
	return holder, secrets, known, err
}

// tryPassword looks at one password, if the count allows it. The caller is in the pool.
func (s *Service) tryPassword(ctx context.Context, try Try, phc, password string) error {
	allowed, err := s.Tries.ReserveTry(ctx, try, passwordLimit, s.Now())
	if err != nil {
		return fmt.Errorf("count tries: %w", err)
	}
	if !allowed || !s.pool.verifyPassword(phc, composed(password)) {
		return errWrong
	}
	if err := s.Tries.ClearTries(ctx, try); err != nil {
		return fmt.Errorf("count tries: %w", err)
	}
	return nil
}

// scopeOf gives a browser that the holder is known by a count of its own, so that strangers who
// guess cannot shut the holder out.
func scopeOf(browser string, own bool) string {
	if own {
		return browser
	}
	return ""
}

// Rule of a new password that was broken; the words are in the locales under "password.rule.".
type Rule string

// The rules, in the order in which they are checked.
const (
	RuleLength  Rule = "length"  // 8 to 20 characters
	RuleClasses Rule = "classes" // a digit, a capital, a small letter, a special character
	RuleOwn     Rule = "own"     // not the own number, telephone or name
	RuleCommon  Rule = "common"  // not one that everybody tries first
	RuleSame    Rule = "same"    // not the one in use
)

//go:embed common.txt
var commonText string

// commonWords are what remains of the passwords that everybody tries first when capitals, signs for
// letters, and the digits and signs around the word are taken away.
var commonWords = strings.Fields(commonText)

// commonWhole are passwords that were printed somewhere, in small letters.
var commonWhole = []string{"bhxhdientuebh@2022"}

// CheckNewPassword returns the first rule that a new password breaks, or an empty Rule.
func CheckNewPassword(password string, holder account.Account) Rule {
	password = composed(password)
	switch n := utf8.RuneCountInString(password); {
	case n < 8 || n > 20 || !utf8.ValidString(password) || strings.ContainsFunc(password, unicode.IsControl):
		return RuleLength
	case !fourClasses(password):
		return RuleClasses
	case tellsOwn(password, holder):
		return RuleOwn
	case common(password):
		return RuleCommon
	}
	return ""
}

func fourClasses(password string) bool {
	var digit, upper, lower, special bool
	for _, r := range password {
		switch {
		case unicode.IsDigit(r):
			digit = true
		case unicode.IsUpper(r):
			upper = true
		case unicode.IsLower(r):
			lower = true
		case !unicode.IsLetter(r):
			special = true
		}
	}
	return digit && upper && lower && special
}

var notDigits = regexp.MustCompile(`[^0-9]+`)

// tellsOwn finds six digits in a row of the number or the telephone, or the holder's name.
func tellsOwn(password string, holder account.Account) bool {
	for _, own := range []string{holder.Number.Reveal(), holder.Phone.Reveal()} {
		digits := notDigits.ReplaceAllString(own, "")
		for i := 0; i+6 <= len(digits); i++ {
			if strings.Contains(password, digits[i:i+6]) {
				return true
			}
		}
	}
	name := plainLetters(holder.Name)
	return len(name) >= 6 && strings.Contains(plainLetters(password), name)
}

// looksLike are the signs that people put for letters.
var looksLike = strings.NewReplacer("@", "a", "4", "a", "0", "o", "1", "i", "!", "i", "3", "e", "$", "s", "5", "s", "7", "t")

func common(password string) bool {
	small := strings.ToLower(password)
	if slices.Contains(commonWhole, small) {
		return true
	}
	core := strings.TrimFunc(small, func(r rune) bool { return !unicode.IsLetter(r) })
	for _, letters := range []string{plainLetters(core), plainLetters(looksLike.Replace(core))} {
		for _, word := range commonWords {
			if strings.ReplaceAll(letters, word, "") == "" {
				return true
			}
		}
	}
	return false
}

// plainLetters keeps the letters, small and without Vietnamese marks.
func plainLetters(s string) string {
	var b strings.Builder
	for _, r := range norm.NFD.String(strings.ToLower(s)) {
		switch {
		case r == 'đ':
			b.WriteByte('d')
		case r >= 'a' && r <= 'z':
			b.WriteRune(r)
		}
	}
	return b.String()
}

// composed gives letters with marks one form, whichever keyboard typed them.
func composed(s string) string { return norm.NFC.String(s) }

// width turns full-width digits and letters into ordinary ones.
func width(s string) string { return norm.NFKC.String(s) }

var six = regexp.MustCompile(`^[0-9]{6}$`)

// sixDigits reads a code as people type it: spaces between digits and full-width digits are fine.
func sixDigits(s string) (string, bool) {
	if len(s) > 64 {
		return "", false
	}
	s = strings.ReplaceAll(width(s), " ", "")
	return s, six.MatchString(s)
}
