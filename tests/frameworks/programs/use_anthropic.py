"""Anthropic's client for Bedrock in Python. The tool loop is that of its own tool runner."""

from anthropic import AnthropicBedrock, beta_tool

from cases import MODEL, find_island, run


def stream(prompt, on_piece):
    messages = [{"role": "user", "content": prompt}]
    with AnthropicBedrock(max_retries=0).messages.stream(model=MODEL, max_tokens=1000, messages=messages) as answer:
        for text in answer.text_stream:
            on_piece(text)
        return answer.get_final_message().stop_reason


def loop(prompt):
    messages = [{"role": "user", "content": prompt}]
    runner = AnthropicBedrock().beta.messages.tool_runner(
        model=MODEL, max_tokens=1000, messages=messages, tools=[beta_tool(find_island)]
    )
    return "".join(block.text for block in runner.until_done().content if block.type == "text")


run("anthropic", {"anthropic, AnthropicBedrock": (stream, loop)})
