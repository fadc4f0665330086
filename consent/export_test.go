package consent

// Refusals are the reasons of refused uses that have words of their own.
func Refusals() []string { return refusals }
