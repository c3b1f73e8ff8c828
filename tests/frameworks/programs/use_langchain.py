"""langchain-aws: the client of Converse, and that of InvokeModel in Anthropic's format. The tool loop is LangChain's agent."""

from langchain.agents import create_agent
from langchain_aws import ChatBedrock, ChatBedrockConverse
from langchain_core.tools import tool

from cases import MODEL, find_island, run


def functions(client, stop_reason):
    def stream(prompt, on_piece):
        reason = None
        for chunk in client(model=MODEL).stream(prompt):
            on_piece(chunk.text)
            reason = chunk.response_metadata.get(stop_reason) or reason
        return reason

    def loop(prompt):
        agent = create_agent(client(model=MODEL), [tool(find_island)])
        return agent.invoke({"messages": [("user", prompt)]})["messages"][-1].text

    return stream, loop


run(
    "langchain-aws",
    {
        "langchain-aws, ChatBedrockConverse": functions(ChatBedrockConverse, "stopReason"),
        "langchain-aws, ChatBedrock": functions(ChatBedrock, "stop_reason"),
    },
)
