package outcrop

import (
	"errors"
	"fmt"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// Reason says why a call failed. errors.Is(err, ReasonQuotaExhausted) asks for one.
type Reason string

// Error makes a Reason a target of errors.Is.
func (r Reason) Error() string { return string(r) }

// Phase says whether content had arrived before a call failed.
type Phase string

const (
	// BeforeContent: no content had arrived.
	BeforeContent Phase = "before_content"
	// AfterContent: what has arrived is not the complete answer.
	AfterContent Phase = "after_content"
)

// Violation is a field of the request that is invalid.
type Violation struct{ Field, Description string }

// QuotaViolation is a limit that is reached, and its subject.
type QuotaViolation struct{ Subject, Description string }

// Error is a call that failed.
type Error struct {
	Message string
	Code    codes.Code
	// Reason can be one that this version of the package does not know.
	Reason Reason
	Phase  Phase
	// RetryDelay is the time after which the whole call can be repeated. Nil if a retry cannot help.
	RetryDelay *time.Duration
	// Violations are the fields of the request that are invalid.
	Violations []Violation
	// QuotaViolations are the limits of the server that are reached.
	QuotaViolations []QuotaViolation
	// Metadata of ErrorInfo, such as model_id, region and attempts.
	Metadata map[string]string
	// RequestID is that of AWS, or empty.
	RequestID string
	// GenerationID is the id of the call in the log of the server, or empty.
	GenerationID string
	cause        error
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s: %s (%s, %s)", e.Reason, e.Message, e.Code, e.Phase)
}

// Unwrap returns the error of grpc-go, so that status.FromError works.
func (e *Error) Unwrap() error { return e.cause }

// Is reports whether the target is the reason of the error.
func (e *Error) Is(target error) bool {
	reason, ok := target.(Reason)
	return ok && reason == e.Reason
}

// ErrorOf returns the *Error for an error of a call of the generated client, and any other error unchanged.
func ErrorOf(err error) error {
	if _, ok := status.FromError(err); !ok {
		return err
	}
	return errorOf(err, BeforeContent)
}

// errorOf makes an *Error of an error of grpc-go, whether the server or the client made it.
func errorOf(err error, phase Phase, metadata ...metadata.MD) error {
	var already *Error
	if err == nil || errors.As(err, &already) {
		return err
	}
	state, _ := status.FromError(err)
	failed := &Error{Message: state.Message(), Code: state.Code(), Reason: local(state.Code()), Phase: phase, cause: err}
	for _, md := range metadata {
		if ids := md.Get("outcrop-generation-id"); len(ids) > 0 {
			failed.GenerationID = ids[0]
		}
	}
	for _, detail := range state.Details() {
		failed.add(detail)
	}
	return failed
}

func (e *Error) add(detail any) {
	switch detail := detail.(type) {
	case *errdetails.ErrorInfo:
		e.Reason, e.Metadata = Reason(detail.GetReason()), detail.GetMetadata()
		if phase := detail.GetMetadata()["phase"]; phase != "" {
			e.Phase = Phase(phase)
		}
	case *errdetails.RetryInfo:
		delay := detail.GetRetryDelay().AsDuration()
		e.RetryDelay = &delay
	case *errdetails.RequestInfo:
		e.RequestID = detail.GetRequestId()
	case *errdetails.BadRequest:
		for _, one := range detail.GetFieldViolations() {
			e.Violations = append(e.Violations, Violation{one.GetField(), one.GetDescription()})
		}
	case *errdetails.QuotaFailure:
		for _, one := range detail.GetViolations() {
			e.QuotaViolations = append(e.QuotaViolations, QuotaViolation{one.GetSubject(), one.GetDescription()})
		}
	}
}

// local is the reason of a status that the client makes itself, which has no details.
func local(code codes.Code) Reason {
	switch code {
	case codes.Canceled:
		return ReasonCallerCancelled
	case codes.DeadlineExceeded:
		return ReasonCallerDeadline
	}
	return ReasonTransport
}

// brokenContract is the error for an answer that is not what the contract promises. A proxy can cause it.
func brokenContract(phase Phase, format string, values ...any) error {
	return &Error{Message: fmt.Sprintf(format, values...), Code: codes.DataLoss, Reason: ReasonTransport, Phase: phase}
}
