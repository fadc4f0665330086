package notify

// StartTLS is the step between greeting and password.
var StartTLS = startTLS
