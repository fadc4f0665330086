package provider

import (
	"encoding/json"
	"net/url"
	"slices"

	"eid.example/idp/internal/client"
	"eid.example/idp/internal/policy"
)

// detail is an element of authorization_details (RFC 9396, section 2). There is one type:
//
//	account_opening   the holder opens an account at the client, which is a bank: product says
//	                  which, purpose is the id of the registered purpose that it serves
//
// A member that is not known is refused, so that the holder never agrees to something unread.
type detail struct {
	Type    string `json:"type"`
	Product string `json:"product,omitempty"`
	Purpose string `json:"purpose,omitempty"`
}

const (
	accountOpening = "account_opening"
	maxDetails     = 4
)

// detailTypes are the types that are offered.
var detailTypes = []string{accountOpening}

// products of account_opening, in the words of the consent screen.
var products = map[string]policy.Text{
	"payment_account": {VI: "Mở tài khoản thanh toán", EN: "Open a payment account"},
	"savings_account": {VI: "Mở tài khoản tiết kiệm", EN: "Open a savings account"},
}

func invalidDetails(description string) error {
	return &answerError{Code: "invalid_authorization_details", Description: description}
}

// checkDetails reads authorization_details. What is kept is what was understood, in one spelling.
func checkDetails(q *request, c *client.Client, v url.Values) error {
	text := v.Get("authorization_details")
	if text == "" {
		return nil
	}
	list, err := readDetails(text)
	if err != nil {
		return err
	}
	for _, d := range list {
		if err := d.check(q, c); err != nil {
			return err
		}
	}
	q.Details = list
	return nil
}

// readDetails reads the names of members exactly: encoding/json would take "Type" for "type".
func readDetails(text string) ([]detail, error) {
	var objects []map[string]string
	if err := json.Unmarshal([]byte(text), &objects); err != nil {
		return nil, invalidDetails("it is not a JSON array of objects with the members type, product and purpose, which are texts")
	}
	if len(objects) == 0 || len(objects) > maxDetails {
		return nil, invalidDetails("it has to hold 1 to 4 objects")
	}
	list := make([]detail, len(objects))
	for i, members := range objects {
		for name := range members {
			if !slices.Contains([]string{"type", "product", "purpose"}, name) {
				return nil, invalidDetails("a member is not known; there are type, product and purpose")
			}
		}
		list[i] = detail{members["type"], members["product"], members["purpose"]}
	}
	return list, nil
}

// check: one request has one purpose, which is the one that the holder reads; a detail that names
// another contradicts it.
func (d detail) check(q *request, c *client.Client) error {
	_, known := products[d.Product]
	switch {
	case !slices.Contains(detailTypes, d.Type):
		return invalidDetails("the type is not known")
	case !mayDetail(c, []detail{d}):
		return invalidDetails("the type is not registered for this client")
	case !known:
		return invalidDetails("product has to be payment_account or savings_account")
	case d.Purpose == "":
		return nil
	}
	if _, ok := c.Purpose(d.Purpose); !ok {
		return invalidDetails("purpose is not registered for this client")
	}
	if q.Purpose != "" && q.Purpose != d.Purpose {
		return invalidDetails("purpose is not the one of the request")
	}
	q.Purpose = d.Purpose
	return nil
}

// mayDetail reports whether a client is registered for the types of all of them.
func mayDetail(c *client.Client, list []detail) bool {
	return !slices.ContainsFunc(list, func(d detail) bool { return !slices.Contains(c.DetailTypes, d.Type) })
}

// inWords are the details as the holder reads them.
func (q *request) inWords() []policy.Text {
	var out []policy.Text
	for _, d := range q.Details {
		out = append(out, products[d.Product])
	}
	return out
}

// details is how a grant keeps them; nil when there are none.
func (q *request) details() (json.RawMessage, error) {
	if len(q.Details) == 0 {
		return nil, nil
	}
	return json.Marshal(q.Details)
}
