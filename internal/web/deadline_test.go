package web

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func TestEveryRequestHasADeadline(t *testing.T) {
	left := time.Duration(0)
	h := withDeadline(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if deadline, ok := r.Context().Deadline(); ok {
			left = time.Until(deadline)
		}
	}))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
	if left <= 0 || left > Deadline {
		t.Errorf("%v left", left)
	}
}
