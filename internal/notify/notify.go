// Package notify sends short messages to holders: codes and notices, by SMS or e-mail.
package notify

import (
	"context"

	"eid.example/idp/internal/account"
)

// Channel is how a message travels.
type Channel string

// The channels.
const (
	SMS   Channel = "sms"
	EMail Channel = "email"
)

// Purpose is what a message is for; closed set, shown in the demo's outbox and counted in metrics.
type Purpose string

// The purposes.
const (
	SignInCode  Purpose = "signin_code"
	NewBrowser  Purpose = "new_browser"
	AccountLock Purpose = "account_locked"
	Withdrawal  Purpose = "consent_withdrawn"
)

// Message is ready to send: already in the holder's language. It is never logged.
type Message struct {
	Channel Channel
	Phone   account.Phone // for SMS
	Address string        // for e-mail
	Purpose Purpose
	Text    string
	Code    string // the code in Text, if there is one; only the demo's outbox reads it
}

// Sender sends one message. Errors wrap fault.Unavailable.
type Sender interface {
	Send(ctx context.Context, m Message) error
}
