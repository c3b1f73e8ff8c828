package outcrop

import (
	"context"
	"errors"
	"io"
	"iter"

	"google.golang.org/grpc"

	"outcrop.example/go/outcropv1"
)

// Stream is the answer of one call, chunk by chunk. Leaving a loop over it does not cancel the call: Close and the context do.
type Stream struct {
	call      grpc.ServerStreamingClient[outcropv1.Chunk]
	cancel    context.CancelFunc
	collector *Collector
	onFinish  func(*outcropv1.Finish)
	next      uint32
	finish    *outcropv1.Finish
	err       error
}

// Close cancels a call that has not ended; it also reaches Bedrock. Call it with defer.
func (s *Stream) Close() { s.cancel() }

// Recv returns the next chunk, with heartbeats if the request asks for them. It returns io.EOF only after the status OK, else an *Error.
func (s *Stream) Recv() (*outcropv1.Chunk, error) {
	if s.err != nil {
		return nil, s.err
	}
	chunk, err := s.recv()
	if err != nil {
		s.err = err
		s.cancel()
	}
	return chunk, err
}

func (s *Stream) recv() (*outcropv1.Chunk, error) {
	chunk, err := s.call.Recv()
	switch {
	case errors.Is(err, io.EOF) && s.finish == nil:
		return nil, brokenContract(s.phase(), "the stream ended without a finish and without an error")
	case errors.Is(err, io.EOF):
		if s.onFinish != nil {
			s.onFinish(s.finish)
		}
		return nil, io.EOF
	case err != nil:
		header, _ := s.call.Header()
		return nil, errorOf(err, s.phase(), header, s.call.Trailer())
	case chunk.GetHeartbeat() != nil:
		return chunk, nil
	case s.finish != nil:
		return nil, brokenContract(s.phase(), "a chunk arrived after the finish")
	case chunk.GetSequence() != s.next:
		return nil, brokenContract(s.phase(), "chunk %d arrived, and %d was expected", chunk.GetSequence(), s.next)
	}
	s.next++
	s.collector.Add(chunk)
	s.finish = chunk.GetFinish()
	return chunk, nil
}

// phase: chunk 0 is the start, which is sent with the first content.
func (s *Stream) phase() Phase {
	if s.next > 0 {
		return AfterContent
	}
	return BeforeContent
}

// Chunks iterates over the chunks. The last pair has the error, if the call failed.
func (s *Stream) Chunks() iter.Seq2[*outcropv1.Chunk, error] {
	return func(yield func(*outcropv1.Chunk, error) bool) {
		for {
			chunk, err := s.Recv()
			if errors.Is(err, io.EOF) || !yield(chunk, err) || err != nil {
				return
			}
		}
	}
}

// Text iterates over the text as it arrives. The last pair has the error, if the call failed. Answer has the rest afterwards.
func (s *Stream) Text() iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for chunk, err := range s.Chunks() {
			if err != nil {
				yield("", err)
				return
			}
			if text, ok := chunk.GetEvent().(*outcropv1.Chunk_Text); ok && !yield(text.Text, nil) {
				return
			}
		}
	}
}

// Answer reads to the end and returns the whole answer, with what was read before.
func (s *Stream) Answer() (*Answer, error) {
	for _, err := range s.Chunks() {
		if err != nil {
			return nil, err
		}
	}
	return s.collector.Answer(), nil
}
