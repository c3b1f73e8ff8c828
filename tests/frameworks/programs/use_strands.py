"""strands-agents: its agent streams to a callback, and calls the tool."""

from strands import Agent, tool
from strands.models import BedrockModel

from cases import MODEL, find_island, run


def stream(prompt, on_piece):
    callback = lambda **event: on_piece(event.get("data"))
    return Agent(model=BedrockModel(model_id=MODEL), callback_handler=callback)(prompt).stop_reason


def loop(prompt):
    agent = Agent(model=BedrockModel(model_id=MODEL), tools=[tool(find_island)], callback_handler=None)
    return str(agent(prompt)).strip()


run("strands-agents", {"strands-agents": (stream, loop)})
