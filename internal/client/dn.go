package client

import (
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// DN is a distinguished name: its relative names in the order of the certificate, the most general
// first. The attributes of one relative name are a set.
type DN [][]Attribute

// Attribute is one attribute of a name: its type as a dotted object identifier, and its value.
type Attribute struct{ Type, Value string }

var errDN = errors.New("has to be a distinguished name like CN=client,O=Bank,C=VN (RFC 4514)")

// attributeTypes are the names of RFC 4514, section 3, and those that tools write besides.
var attributeTypes = map[string]string{
	"cn": "2.5.4.3", "sn": "2.5.4.4", "serialnumber": "2.5.4.5", "c": "2.5.4.6", "l": "2.5.4.7", "st": "2.5.4.8", "s": "2.5.4.8",
	"street": "2.5.4.9", "o": "2.5.4.10", "ou": "2.5.4.11", "title": "2.5.4.12", "businesscategory": "2.5.4.15", "postalcode": "2.5.4.17",
	"gn": "2.5.4.42", "givenname": "2.5.4.42", "dnqualifier": "2.5.4.46", "organizationidentifier": "2.5.4.97",
	"dc": "0.9.2342.19200300.100.1.25", "uid": "0.9.2342.19200300.100.1.1",
	"emailaddress": "1.2.840.113549.1.9.1", "e": "1.2.840.113549.1.9.1",
	"jurisdictionl": "1.3.6.1.4.1.311.60.2.1.1", "jurisdictionst": "1.3.6.1.4.1.311.60.2.1.2", "jurisdictionc": "1.3.6.1.4.1.311.60.2.1.3",
}

// ParseDN reads the text form of RFC 4514, in which the most special name comes first.
func ParseDN(s string) (DN, error) {
	if s == "" || len(s) > 1000 || !utf8.ValidString(s) {
		return nil, errDN
	}
	p := dnReader{rest: s}
	dn := DN{nil}
	for {
		a, err := p.attribute()
		if err != nil {
			return nil, err
		}
		dn[len(dn)-1] = append(dn[len(dn)-1], a)
		if p.rest == "" {
			slices.Reverse(dn)
			return dn, nil
		}
		if p.rest[0] == ',' {
			dn = append(dn, nil)
		}
		p.rest = p.rest[1:] // "," or "+"
	}
}

type dnReader struct{ rest string }

func (p *dnReader) attribute() (Attribute, error) {
	name, rest, ok := strings.Cut(p.rest, "=")
	if !ok {
		return Attribute{}, errDN
	}
	p.rest = rest
	oid, err := attributeType(strings.Trim(name, " "))
	if err != nil {
		return Attribute{}, err
	}
	value, err := p.value()
	return Attribute{oid, value}, err
}

func attributeType(name string) (string, error) {
	if oid, ok := attributeTypes[strings.ToLower(name)]; ok {
		return oid, nil
	}
	var oid asn1.ObjectIdentifier
	for part := range strings.SplitSeq(name, ".") {
		n := 0
		if _, err := fmt.Sscanf(part, "%d", &n); err != nil || fmt.Sprint(n) != part || n < 0 {
			return "", fmt.Errorf("%w; %q is no attribute", errDN, name)
		}
		oid = append(oid, n)
	}
	if len(oid) < 2 {
		return "", fmt.Errorf("%w; %q is no attribute", errDN, name)
	}
	return oid.String(), nil
}

// value reads up to the next "," or "+" that is not escaped.
func (p *dnReader) value() (string, error) {
	p.rest = strings.TrimLeft(p.rest, " ")
	if strings.HasPrefix(p.rest, "#") {
		return p.encoded()
	}
	var b strings.Builder
	kept := 0 // up to here blanks belong to the value, because an escape says so
	for p.rest != "" && p.rest[0] != ',' && p.rest[0] != '+' {
		c := p.rest[0]
		switch {
		case strings.IndexByte("\";<>\x00", c) >= 0:
			return "", fmt.Errorf("%w; %q has to be escaped", errDN, c)
		case c != '\\':
			b.WriteByte(c)
			p.rest = p.rest[1:]
		default:
			one, size, err := escaped(p.rest[1:])
			if err != nil {
				return "", err
			}
			b.WriteByte(one)
			p.rest = p.rest[1+size:]
			kept = b.Len()
		}
	}
	text := b.String()
	text = text[:kept] + strings.TrimRight(text[kept:], " ")
	if text == "" || !utf8.ValidString(text) {
		return "", errDN
	}
	return text, nil
}

// escaped reads what follows a backslash: a special character or two hexadecimal digits.
func escaped(s string) (c byte, size int, err error) {
	if s != "" && strings.IndexByte(` "#+,;<=>\`, s[0]) >= 0 {
		return s[0], 1, nil
	}
	if len(s) >= 2 {
		if raw, err := hex.DecodeString(s[:2]); err == nil {
			return raw[0], 2, nil
		}
	}
	return 0, 0, fmt.Errorf("%w; a backslash comes before a special character or two hexadecimal digits", errDN)
}

// encoded reads "#" and the BER of a value in hexadecimal digits.
func (p *dnReader) encoded() (string, error) {
	digits := p.rest[1:]
	if end := strings.IndexAny(digits, ",+"); end >= 0 {
		digits = digits[:end]
	}
	p.rest = p.rest[1+len(digits):]
	raw, err := hex.DecodeString(strings.TrimRight(digits, " "))
	if err != nil {
		return "", errDN
	}
	return directoryString(raw)
}

// directoryString reads the ASN.1 of a text.
func directoryString(der []byte) (string, error) {
	var value any
	rest, err := asn1.Unmarshal(der, &value)
	text, ok := value.(string)
	if err != nil || len(rest) > 0 || !ok || text == "" {
		return "", fmt.Errorf("%w; a value is not text", errDN)
	}
	return text, nil
}

type (
	attributeASN struct {
		Type  asn1.ObjectIdentifier
		Value asn1.RawValue
	}
	// nameSET has its name for encoding/asn1, which reads it as a SET.
	nameSET []attributeASN
)

// CertificateDN reads a name as certificates hold it (x509.Certificate.RawSubject).
func CertificateDN(der []byte) (DN, error) {
	var sequence []nameSET
	if rest, err := asn1.Unmarshal(der, &sequence); err != nil || len(rest) > 0 {
		return nil, errDN
	}
	var dn DN
	for _, set := range sequence {
		var name []Attribute
		for _, a := range set {
			text, err := directoryString(a.Value.FullBytes)
			if err != nil {
				return nil, err
			}
			name = append(name, Attribute{a.Type.String(), text})
		}
		dn = append(dn, name)
	}
	return dn, nil
}

// Equal compares names as certificates are compared (RFC 5280, section 7.1): relative names in
// order, the attributes of each as a set, values without regard to case and doubled blanks. An
// empty name equals nothing.
func (d DN) Equal(other DN) bool {
	if len(d) == 0 {
		return false
	}
	return slices.EqualFunc(d, other, func(a, b []Attribute) bool {
		return len(a) == len(b) && slices.Equal(folded(a), folded(b))
	})
}

func folded(name []Attribute) []string {
	var out []string
	for _, a := range name {
		out = append(out, a.Type+"="+strings.ToLower(strings.Join(strings.FieldsFunc(a.Value, func(r rune) bool { return r == ' ' }), " ")))
	}
	slices.Sort(out)
	return out
}
