package signin

// CodeLimit is the limit of SMS codes, for the simulation of a year of guessing.
func CodeLimit() Limit { return codeLimit }
