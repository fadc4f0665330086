// Package qrshare lets a holder show a QR code instead of papers: a registered verifier redeems it
// for a signed assertion with exactly the items the holder agreed to.
//
//	GET/POST /qr                   the holder picks a verifier and purpose, sees the consent
//	                               screen, gives the passcode; the QR lives 60 s and works once
//	GET /Q/{ref}                   what an ordinary camera opens: explains, approves nothing
//	POST /qrshare/v1/redeem        the verifier's side
//	GET /qrshare/v1/keys           public keys of assertions
//
// Consent is committed before the reference exists; the reference is stored hashed; unknown, used,
// expired, foreign and locked references get one uniform 404.
package qrshare
