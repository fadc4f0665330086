package client_test

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"testing"

	"eid.example/idp/internal/client"
)

// certificate returns a subject as a certificate holds it.
func certificateDN(t testing.TB, names ...[]pkix.AttributeTypeAndValue) client.DN {
	t.Helper()
	var sequence pkix.RDNSequence
	for _, set := range names {
		sequence = append(sequence, set)
	}
	der, err := asn1.Marshal(sequence)
	if err != nil {
		t.Fatal(err)
	}
	dn, err := client.CertificateDN(der)
	if err != nil {
		t.Fatal(err)
	}
	return dn
}

func attribute(value any, oid ...int) pkix.AttributeTypeAndValue {
	return pkix.AttributeTypeAndValue{Type: oid, Value: value}
}

func one(a ...pkix.AttributeTypeAndValue) []pkix.AttributeTypeAndValue { return a }

func TestDistinguishedNamesAreComparedAsRFC4514WritesThem(t *testing.T) {
	t.Parallel()
	subject := certificateDN(t, one(attribute("VN", 2, 5, 4, 6)), one(attribute("Ngân hàng, Mẫu", 2, 5, 4, 10)),
		one(attribute("eid.bank.example", 2, 5, 4, 3), attribute("42", 2, 5, 4, 5)))
	for text, want := range map[string]bool{
		`CN=eid.bank.example+serialNumber=42,O=Ngân hàng\, Mẫu,C=VN`:          true,
		`serialNumber=42+cn=EID.bank.example,o=ngân  hàng\2c mẫu,c=vn`:        true,
		`CN = eid.bank.example + SERIALNUMBER = 42 , O = Ngân hàng\, Mẫu`:     false, // a part is not the whole
		`CN=eid.bank.example + serialNumber=42, O=Ngân hàng\, Mẫu, C=VN`:      true,
		`2.5.4.3=eid.bank.example+2.5.4.5=42,2.5.4.10=Ngân hàng\, Mẫu,C=VN`:   true,
		`CN=eid.bank.example+2.5.4.5=#13023432,O=Ng\C3\A2n hàng\, Mẫu,C=VN`:   true,
		`C=VN,O=Ngân hàng\, Mẫu,CN=eid.bank.example+serialNumber=42`:          false, // the order is part of the name
		`CN=eid.bank.example,O=Ngân hàng\, Mẫu,C=VN`:                          false,
		`CN=eid.bank.example,serialNumber=42,O=Ngân hàng\, Mẫu,C=VN`:          false,
		`CN=eid.bank.example+serialNumber=42,O=Ngân hàng,C=VN`:                false,
		`CN=evil.bank.example+serialNumber=42,O=Ngân hàng\, Mẫu,C=VN`:         false,
		`OU=eid.bank.example+serialNumber=42,O=Ngân hàng\, Mẫu,C=VN`:          false,
		`CN=eid.bank.example+serialNumber=42,O=Ngân hàng\, Mẫu,C=VN,DC=extra`: false,
	} {
		dn, err := client.ParseDN(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := dn.Equal(subject); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
	// Commas inside a value are no new name: what a client writes into one cannot reach another.
	inside := certificateDN(t, one(attribute("VN", 2, 5, 4, 6)), one(attribute("x,O=Bank", 2, 5, 4, 3)))
	if dn, err := client.ParseDN("CN=x,O=Bank,C=VN"); err != nil || dn.Equal(inside) {
		t.Errorf("a comma in a value: %v, %v", dn, err)
	}
	if (client.DN{}).Equal(client.DN{}) {
		t.Error("an empty name equals an empty name")
	}
}

func TestTextsThatAreNoDistinguishedName(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", " ", "CN", "CN=", "=x", "CN=a,", ",CN=a", "CN=a,,O=b", "CN=a;O=b", `CN=a"b`, "CN=a<b", `CN=a\`, `CN=a\z1`, "XX=a", "1=a", "1.02=a",
		"CN=#", "CN=#zz", "CN=#0402", "CN=#0201ff", `CN=\ff`, "CN=a+", "CN=\x00", "-1.2=a"} {
		if dn, err := client.ParseDN(text); err == nil {
			t.Errorf("%q: %v", text, dn)
		}
	}
}

func FuzzParseDN(f *testing.F) {
	f.Add(`CN=eid.bank.example+serialNumber=42,O=Ngân hàng\, Mẫu,C=VN`)
	f.Add(`2.5.4.3=#130141`)
	f.Add(`CN=\\\20`)
	f.Fuzz(func(t *testing.T, text string) {
		dn, err := client.ParseDN(text)
		if err == nil && !dn.Equal(dn) {
			t.Errorf("%q is not equal to itself", text)
		}
	})
}
