"""The library of the streaming lab: LangChain's chain and its client of Bedrock, as in the workshop "Building Generative AI applications
with Amazon Bedrock and LangChain" in the middle of 2024. It is not written for Outcrop.
"""

from langchain.chains import ConversationChain
from langchain_community.llms import Bedrock


def get_llm(streaming_callback):
    return Bedrock(
        model_id="cohere.command-text-v14",
        model_kwargs={
            "max_tokens": 4000,
            "temperature": 0,
            "p": 0.01,
            "k": 0,
            "stop_sequences": [],
            "return_likelihoods": "NONE",
            "stream": True,
        },
        streaming=True,
        callbacks=[streaming_callback],
    )


def get_streaming_response(prompt, streaming_callback):
    conversation = ConversationChain(llm=get_llm(streaming_callback))
    return conversation.predict(input=prompt)
