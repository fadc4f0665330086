package client

import "regexp"

var idForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._~-]{0,63}$`)

// ValidID reports whether a text can be a client_id at all: 1 to 64 letters, digits, ".", "_", "~"
// and "-", not starting with a sign. Whatever else arrives is nobody's.
func ValidID(id string) bool { return idForm.MatchString(id) }
