// Package keyring holds the provider's keys: signing keys in the database, sealed under the root
// key, published before they are used, kept until the last token dies and then in a public
// archive; and secrets derived from the root key for everything that is keyed but not signed.
package keyring
