package client

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
)

// Pictures of logo_uri lie in the registration itself: pages load nothing from a relying party's
// server, which would learn who is about to sign in.
const (
	pictureScheme = "data:"
	maxPicture    = 12 << 10 // bytes
)

// Picture returns the logo and its media type; ok is false when there is none.
func (c *Client) Picture() (mediaType string, content []byte, ok bool) {
	mediaType, content, err := picture(c.LogoURI)
	return mediaType, content, err == nil
}

// LogoAddress is where a page finds the logo: for a picture of the registration an address of our
// own, which changes with the picture; else what the registration says, which may be empty.
func (c *Client) LogoAddress() string {
	_, content, ok := c.Picture()
	if !ok {
		return c.LogoURI
	}
	sum := sha256.Sum256(content)
	return "/services/logo/" + string(c.ID) + "?v=" + hex.EncodeToString(sum[:6])
}

func picture(uri string) (mediaType string, content []byte, err error) {
	rest, isData := strings.CutPrefix(uri, pictureScheme)
	mediaType, encoded, isBase64 := strings.Cut(rest, ";base64,")
	if !isData || !isBase64 {
		return "", nil, errors.New(`has to be the picture itself, like "data:image/png;base64,..."; pages load nothing from other sites`)
	}
	magic, known := pictureTypes[mediaType]
	if !known {
		return "", nil, errors.New("has to be image/png, image/jpeg or image/webp")
	}
	content, err = base64.StdEncoding.Strict().DecodeString(encoded)
	switch {
	case err != nil:
		return "", nil, errors.New("is not base64")
	case len(content) > maxPicture:
		return "", nil, errors.New("is larger than 12 KiB")
	case !strings.HasPrefix(string(content), magic):
		return "", nil, errors.New("is no picture of the type that it names")
	}
	return mediaType, content, nil
}

// pictureTypes with the bytes that they start with. SVG is not among them: it can hold scripts.
var pictureTypes = map[string]string{"image/png": "\x89PNG\r\n\x1a\n", "image/jpeg": "\xff\xd8\xff", "image/webp": "RIFF"}
