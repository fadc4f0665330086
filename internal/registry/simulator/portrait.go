package simulator

import (
	"bytes"
	"encoding/base64"
	"hash/fnv"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"strings"

	"golang.org/x/text/unicode/norm"
)

// The picture is three wide to four high, as on a card.
const pictureWidth, pictureHeight = 120, 160

// portrait draws an invented face: a silhouette on a colour of its own, with the initials beneath,
// so that a verifier sees at once whose picture it is and that it is nobody's. Base64 of a JPEG.
func portrait(name string) string {
	picture := image.NewRGBA(image.Rect(0, 0, pictureWidth, pictureHeight))
	draw.Draw(picture, picture.Bounds(), image.NewUniform(backdrop(name)), image.Point{}, draw.Src)
	shade := color.RGBA{R: 0x33, G: 0x3a, B: 0x48, A: 0xff}
	ellipse(picture, 60, 60, 27, 34, shade)     // head
	ellipse(picture, 60, 148, 50, 48, shade)    // shoulders
	ellipse(picture, 50, 56, 3, 3, color.White) // eyes
	ellipse(picture, 70, 56, 3, 3, color.White)
	write5x7(picture, initials(name), 130)

	var out bytes.Buffer
	if err := jpeg.Encode(&out, picture, &jpeg.Options{Quality: 80}); err != nil {
		return "" // writing to memory and a picture of this size cannot fail
	}
	return base64.StdEncoding.EncodeToString(out.Bytes())
}

// backdrop gives everybody a pale colour of their own.
func backdrop(name string) color.Color {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	sum := h.Sum32()
	pale := func(shift uint) uint8 { return 0xb0 + uint8(sum>>shift)%0x40 }
	return color.RGBA{R: pale(0), G: pale(8), B: pale(16), A: 0xff}
}

func ellipse(picture draw.Image, cx, cy, rx, ry int, c color.Color) {
	for y := cy - ry; y <= cy+ry; y++ {
		for x := cx - rx; x <= cx+rx; x++ {
			dx, dy := x-cx, y-cy
			if dx*dx*ry*ry+dy*dy*rx*rx <= rx*rx*ry*ry {
				picture.Set(x, y, c)
			}
		}
	}
}

// initials are those of the words, without diacritics: "NTM".
func initials(name string) string {
	var out strings.Builder
	for _, word := range strings.Fields(strings.ReplaceAll(strings.ToUpper(name), "Đ", "D")) {
		if first := norm.NFD.String(word)[0]; first >= 'A' && first <= 'Z' {
			out.WriteByte(first)
		}
	}
	return out.String()
}

// glyphs are the letters that names of the cast begin with, five wide and seven high, a row a
// byte, the leftmost dot in bit 4.
var glyphs = map[rune][7]byte{
	'A': {0x0e, 0x11, 0x11, 0x1f, 0x11, 0x11, 0x11},
	'B': {0x1e, 0x11, 0x11, 0x1e, 0x11, 0x11, 0x1e},
	'C': {0x0e, 0x11, 0x10, 0x10, 0x10, 0x11, 0x0e},
	'D': {0x1e, 0x11, 0x11, 0x11, 0x11, 0x11, 0x1e},
	'H': {0x11, 0x11, 0x11, 0x1f, 0x11, 0x11, 0x11},
	'K': {0x11, 0x12, 0x14, 0x18, 0x14, 0x12, 0x11},
	'L': {0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x1f},
	'M': {0x11, 0x1b, 0x15, 0x15, 0x11, 0x11, 0x11},
	'N': {0x11, 0x19, 0x15, 0x13, 0x11, 0x11, 0x11},
	'P': {0x1e, 0x11, 0x11, 0x1e, 0x10, 0x10, 0x10},
	'S': {0x0f, 0x10, 0x10, 0x0e, 0x01, 0x01, 0x1e},
	'T': {0x1f, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04},
	'V': {0x11, 0x11, 0x11, 0x11, 0x11, 0x0a, 0x04},
}

// write5x7 centres the letters on the shoulders, each dot three pixels square.
func write5x7(picture draw.Image, letters string, top int) {
	const dot, advance = 3, 6 * 3
	left := (pictureWidth - len(letters)*advance + dot) / 2
	for i, letter := range letters {
		for row, bits := range glyphs[letter] {
			for column := range 5 {
				if bits>>(4-column)&1 == 1 {
					at := image.Pt(left+i*advance+column*dot, top+row*dot)
					draw.Draw(picture, image.Rectangle{Min: at, Max: at.Add(image.Pt(dot, dot))}, image.White, image.Point{}, draw.Src)
				}
			}
		}
	}
}
