// Package blackbox tests the demo from outside: it shares no code with the product and knows only
// what demo.json tells and what the standards and the catalogue of claims say. It builds and starts
// the program itself:
//
//	go test ./...
//
// When IDP_DATABASE_URL and IDP_REDIS_URL name servers (scripts/with-stores.sh does that), every
// test runs on them too, in a database of its own.
package blackbox
