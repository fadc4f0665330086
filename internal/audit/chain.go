package audit

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"
)

// Row is an event as it stands in the database.
type Row struct {
	ID    int64
	Seq   int64  // place in the chain, from 1 without gaps; 0 until sealed
	Hash  []byte // Link of the row before and this one; nil until sealed
	Event Event
	// Detail is Event.Detail as stored: the chain seals this text, whatever it reads as.
	Detail string
}

// Head is the end of the chain. An empty chain has Seq 0 and no Hash.
type Head struct {
	Seq  int64
	Hash []byte
}

// Link is the hash that seals a row after the one whose hash is prev (nil for the first):
// SHA-256(prev || JSON of the row, its place included). Content, order and gaps all show.
func Link(prev []byte, r Row) []byte {
	content, err := json.Marshal(struct {
		Seq     int64  `json:"seq"`
		ID      int64  `json:"id"`
		At      string `json:"at"`
		Action  string `json:"action"`
		Actor   string `json:"actor"`
		Account string `json:"account"`
		Client  string `json:"client"`
		Request string `json:"request"`
		Address string `json:"address"`
		Detail  string `json:"detail"`
	}{
		r.Seq, r.ID, r.Event.At.UTC().Format("2006-01-02T15:04:05.000000Z"), string(r.Event.Action), r.Event.Actor,
		string(r.Event.Account), r.Event.Client, r.Event.Request, r.Event.Address, r.Detail,
	})
	if err != nil {
		panic(err) // strings and integers always have a JSON form
	}
	h := sha256.New()
	h.Write(prev)
	h.Write(content)
	return h.Sum(nil)
}

// Seal gives unsealed rows their places after head and returns the new head.
func Seal(head Head, rows []Row) Head {
	for i := range rows {
		rows[i].Seq = head.Seq + 1
		rows[i].Hash = Link(head.Hash, rows[i])
		head = Head{Seq: rows[i].Seq, Hash: rows[i].Hash}
	}
	return head
}

// checkpoint is what leaves the database, signed: at a moment the chain ended so.
type checkpoint struct {
	Seq  int64     `json:"seq"`
	Hash string    `json:"hash"` // base64url
	At   time.Time `json:"at"`
}

func (h Head) checkpoint(at time.Time) []byte {
	b, err := json.Marshal(checkpoint{h.Seq, base64.RawURLEncoding.EncodeToString(h.Hash), at.UTC().Truncate(time.Second)})
	if err != nil {
		panic(err) // a time within four-digit years always has a JSON form
	}
	return b
}

func readCheckpoint(payload []byte) (c checkpoint, err error) {
	if err := json.Unmarshal(payload, &c); err != nil {
		return c, err
	}
	if c.Seq < 1 || c.Hash == "" {
		return c, fmt.Errorf("names no row")
	}
	return c, nil
}
