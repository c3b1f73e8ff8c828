"""A conversation that the server stores: two turns, one of them a tool's, resumed by its id, and what is refused."""

import sys

from common import endpoint, show

from outcrop import Client, OutcropError, v1

MODEL = sys.argv[1] if sys.argv[1:] else "emulator.everything"

with Client(**endpoint()) as client:
    conversation = client.conversation(system=[{"text": "Be brief."}])
    with conversation.generate(model=MODEL, prompt="Show everything.", turn_id="1") as stream:
        first = stream.answer()
    print("revision", conversation.revision)

    # Another program resumes it. What is stored is what the stream put together, with signatures and citations.
    resumed = client.conversation(conversation.id)
    stored = list(resumed.turns())
    print("same", str(stored[0].messages[-1] == first.message).lower(), len(first.message.content), "blocks")

    # The server puts the message together too, if it is asked to.
    with client.generate(model=MODEL, prompt="Show everything.", include_message=True) as stream:
        again = stream.answer()
    print("included", str(again.finish.HasField("message") and again.message == first.message).lower())

    try:  # The same turn again calls no model.
        with client.conversation(conversation.id).generate(prompt="Show everything.", turn_id="1") as stream:
            stream.answer()
    except OutcropError as error:
        show(error)

    stale = client.conversation(conversation.id, revision=0)
    try:
        with stale.generate(prompt="Who are you?") as stream:
            stream.answer()
    except OutcropError as error:
        show(error)
    resumed.delete()
    try:
        client.call("GetConversation", v1.GetConversationRequest(conversation_id=conversation.id))
    except OutcropError as error:
        show(error)
