// Package outcrop calls Outcrop, a gRPC service in front of Amazon Bedrock.
//
// New makes a Client. Client.Generate returns a Stream, whose Text and Chunks are iterators and whose Answer is the whole answer. An *Error has the
// Reason of a call that failed. The messages are in the package outcropv1, generated from the proto files.
package outcrop
