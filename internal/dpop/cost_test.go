package dpop_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"eid.example/idp/internal/dpop"
)

// foreign is a proof with an RSA key of that many bits, which anybody can write down: nobody needs
// the private part to make us verify.
func foreign(bits int, exponent string) string {
	b64 := base64.RawURLEncoding.EncodeToString
	n := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), uint(bits)), big.NewInt(159)) // odd, all ones
	header := fmt.Sprintf(`{"typ":"dpop+jwt","alg":"PS256","jwk":{"kty":"RSA","n":"%s","e":"%s"}}`, b64(n.Bytes()), exponent)
	signature := new(big.Int).Rsh(n, 1).FillBytes(make([]byte, (bits+7)/8))
	return b64([]byte(header)) + "." + b64([]byte(`{}`)) + "." + b64(signature)
}

const largeExponent = "f____w" // 2^31 - 1

// A proof brings its own key, so whoever sends one decides what verifying costs: the sizes that
// registered keys may have hold for it too (RFC 8725, section 3.5).
func TestAProofWithAKeyOfTheWrongSizeIsRefusedBeforeItCosts(t *testing.T) {
	for _, bits := range []int{512, 1024, 2047, 8200, 12000} {
		if _, err := verify(foreign(bits, largeExponent)); !errors.Is(err, dpop.ErrProof) || !strings.Contains(err.Error(), "jwk") {
			t.Errorf("%d bits: %v", bits, err)
		}
	}
	if _, err := verify(foreign(2048, "AQAB")); err == nil || !strings.Contains(err.Error(), "signature") {
		t.Errorf("2048 bits: %v", err)
	}
}

func BenchmarkForeignKey(b *testing.B) {
	for _, bits := range []int{2048, 8192, 16000} {
		b.Run(fmt.Sprint(bits), func(b *testing.B) {
			proof := foreign(bits, largeExponent)
			for b.Loop() {
				verify(proof)
			}
		})
	}
}
