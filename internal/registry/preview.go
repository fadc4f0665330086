package registry

// Preview is a short masked form of the values for the consent screen: enough for the holder to
// recognise them, never the whole. It is empty with a Problem. locale is "vi" or "en".
func Preview(r Reading, locale string) string {
	if r.Problem != "" || len(r.Claims) == 0 {
		return ""
	}
	return "•••"
}
