package clientkeys

import "time"

// SetPatience shortens how long a server may take.
func (k *Keys) SetPatience(d time.Duration) { k.http.Timeout = d }

// Forget closes kept connections, so that the next call looks the name up again.
func (k *Keys) Forget() {
	k.http.Transport.(schemes).next.(interface{ CloseIdleConnections() }).CloseIdleConnections()
}
