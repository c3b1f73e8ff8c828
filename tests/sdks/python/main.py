"""boto3 as an application has it: reads cases as a line of JSON, asks for each, and prints what the application saw as a line of JSON."""

import concurrent.futures
import json
import sys

import boto3
import botocore
import botocore.config


def told_of(error):
    """An exception, by the names that an application can catch."""
    answer = getattr(error, "response", None) or {}
    return {
        "class": type(error).__name__,
        "code": answer.get("Error", {}).get("Code", ""),
        "message": str(error),
        "status": answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0),
    }


def converse_stream(client, case, outcome):
    answer = client.converse_stream(modelId=case["model"], messages=messages(case))
    for event in answer["stream"]:
        if "contentBlockStart" in event:
            tool = event["contentBlockStart"]["start"].get("toolUse", {})
            outcome["tool"] = {"name": tool.get("name", ""), "input": ""}
        if "contentBlockDelta" in event:
            delta = event["contentBlockDelta"]["delta"]
            outcome["text"] += delta.get("text", "")
            if "toolUse" in delta:
                outcome["tool"]["input"] += delta["toolUse"]["input"]
        outcome["stop"] = event.get("messageStop", {}).get("stopReason", outcome["stop"])
        if case["leave"] and outcome["text"]:
            answer["stream"].close()
            return


def converse(client, case, outcome):
    answer = client.converse(modelId=case["model"], messages=messages(case))
    # An answer can lack members without an error.
    for block in answer.get("output", {}).get("message", {}).get("content", []):
        outcome["text"] += block.get("text", "")
        if "toolUse" in block:
            outcome["tool"] = {"name": block["toolUse"]["name"], "input": json.dumps(block["toolUse"]["input"])}
    outcome["stop"] = answer.get("stopReason", "")


def invoke_stream(client, case, outcome):
    answer = client.invoke_model_with_response_stream(modelId=case["model"], body=case["body"])
    for event in answer["body"]:
        outcome["chunks"].append(event["chunk"]["bytes"].decode())
        if case["leave"]:
            answer["body"].close()
            return


def invoke(client, case, outcome):
    answer = client.invoke_model(modelId=case["model"], body=case["body"])
    outcome["chunks"].append(answer["body"].read().decode())


OPERATIONS = {
    "ConverseStream": converse_stream,
    "Converse": converse,
    "InvokeModelWithResponseStream": invoke_stream,
    "InvokeModel": invoke,
}


def messages(case):
    return [{"role": "user", "content": [{"text": case["prompt"]}]}]


def client_of(session, case):
    """A client for one case, so that no connection is shared."""
    retries = {"total_max_attempts": 1} if case["once"] else None
    return session.client("bedrock-runtime", config=botocore.config.Config(retries=retries))


def run(client, case):
    outcome = {"case": case["case"], "text": "", "stop": "", "tool": None, "chunks": [], "error": None}
    try:
        OPERATIONS[case["operation"]](client, case, outcome)
    except Exception as error:  # Whatever an application would catch is the result.
        outcome["error"] = told_of(error)
    return outcome


def main():
    cases = json.loads(sys.stdin.readline())
    print(json.dumps({"sdk": f"boto3 {boto3.__version__}"}))
    # A session is for one thread, and reads the service model once.
    session = boto3.session.Session()
    clients = [client_of(session, case) for case in cases]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for outcome in pool.map(run, clients, cases):
            print(json.dumps(outcome))
    sys.stdout.flush()
    # What was left must not end with the process.
    sys.stdin.read()


main()
