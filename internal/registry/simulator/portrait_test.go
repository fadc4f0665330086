package simulator

import (
	"bytes"
	"encoding/base64"
	"image/jpeg"
	"strings"
	"testing"
	"time"

	"eid.example/idp/internal/cast"
)

func TestPortraitsAreSmallPicturesThatDiffer(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, p := range cast.People(time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)) {
		encoded := portrait(p.Name)
		if other, drawn := seen[encoded]; drawn {
			t.Errorf("%s and %s look alike", p.Key, other)
		}
		seen[encoded] = p.Key
		picture, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil {
			t.Fatal(err)
		}
		config, err := jpeg.DecodeConfig(bytes.NewReader(picture))
		if err != nil || config.Width*4 != config.Height*3 || len(picture) > 16<<10 {
			t.Errorf("%s: %dx%d, %d bytes, %v", p.Key, config.Width, config.Height, len(picture), err)
		}
	}
}

func TestEveryInitialOfTheCastCanBeDrawn(t *testing.T) {
	t.Parallel()
	for _, p := range cast.People(time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)) {
		letters := initials(p.Name)
		if len(letters) != len(strings.Fields(p.Name)) {
			t.Errorf("%s: initials %q", p.Name, letters)
		}
		for _, letter := range letters {
			if _, drawn := glyphs[letter]; !drawn {
				t.Errorf("%s: no glyph for %c", p.Name, letter)
			}
		}
	}
}
