"""A tool loop: the model calls a tool, the program executes it, and the model answers with the result."""

from common import endpoint

from outcrop import Client, tool_input, tool_result, user, v1

TOOLS = {"tools": [{"tool_spec": {
    "name": "get_weather",
    "description": "The weather in a city.",
    "input_schema": {"json_text": '{"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}'},
}}]}


def get_weather(city):
    return {"city": city, "sky": "clear", "degrees": 21}


with Client(**endpoint()) as client:
    messages = [user("What is the weather in Paris?")]
    while True:
        with client.generate(model="emulator.call", messages=messages, tool_config=TOOLS) as stream:
            answer = stream.answer()
        messages.append(answer.message)  # Unchanged, with reasoning and signatures.
        if answer.finish.stop_reason != v1.STOP_REASON_TOOL_USE:
            break
        results = []
        for use in answer.tool_uses:
            print("tool", use.name)
            results.append(tool_result(use, get_weather(**tool_input(use))))
        messages.append(user(*results))
    print("answer", len(messages), str(answer.text.strip() != "").lower())
