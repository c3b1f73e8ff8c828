package outcrop

import (
	"context"
	"crypto/rand"
	"iter"

	"google.golang.org/protobuf/proto"

	"outcrop.example/go/outcropv1"
)

// Conversation is one that the server stores. A request carries only the new messages.
//
// Every request has a turn_id, so that no retry stores a turn twice. It has the revision that this value has seen, if any: if another caller has
// added a turn, the call fails with ReasonConversationChanged.
type Conversation struct {
	ID string
	// Revision is the one that was seen last. Nil: any.
	Revision *uint32
	client   *Client
}

// CreateConversation creates a conversation.
func (c *Client) CreateConversation(ctx context.Context, request *outcropv1.CreateConversationRequest) (*Conversation, error) {
	response, err := c.Service.CreateConversation(ctx, request)
	if err != nil {
		return nil, errorOf(err, BeforeContent)
	}
	created := response.GetConversation()
	return &Conversation{ID: created.GetConversationId(), Revision: proto.Uint32(created.GetRevision()), client: c}, nil
}

// Conversation resumes the conversation with this id.
func (c *Client) Conversation(id string) *Conversation { return &Conversation{ID: id, client: c} }

// Generate starts the next turn. It is stored if and only if the stream ends without an error.
func (c *Conversation) Generate(ctx context.Context, request *outcropv1.GenerateRequest) *Stream {
	request = proto.CloneOf(request)
	request.ConversationId = c.ID
	if request.TurnId == "" {
		request.TurnId = rand.Text()
	}
	if request.ConversationRevision == nil {
		request.ConversationRevision = c.Revision
	}
	return c.client.generate(ctx, request, func(finish *outcropv1.Finish) {
		if finish.ConversationRevision != nil {
			c.Revision = finish.ConversationRevision
		}
	})
}

// Turns iterates over the stored turns, oldest first. The revision is then that of the server.
func (c *Conversation) Turns(ctx context.Context) iter.Seq2[*outcropv1.Turn, error] {
	return func(yield func(*outcropv1.Turn, error) bool) {
		for token := ""; ; {
			page, err := c.client.Service.GetConversation(ctx, &outcropv1.GetConversationRequest{ConversationId: c.ID, PageToken: token})
			if err != nil {
				yield(nil, errorOf(err, BeforeContent))
				return
			}
			for _, turn := range page.GetTurns() {
				if !yield(turn, nil) {
					return
				}
			}
			c.Revision = proto.Uint32(page.GetConversation().GetRevision())
			if token = page.GetNextPageToken(); token == "" {
				return
			}
		}
	}
}

// Delete deletes the conversation and its turns.
func (c *Conversation) Delete(ctx context.Context) error {
	_, err := c.client.Service.DeleteConversation(ctx, &outcropv1.DeleteConversationRequest{ConversationId: c.ID})
	return errorOf(err, BeforeContent)
}
