"""The page of the streaming lab, in Streamlit: a text area, Go, and LangChain's handler that writes the answer as it comes."""

import streamlit as st
from langchain_community.callbacks.streamlit import StreamlitCallbackHandler

import streaming_lib as glib

st.set_page_config(page_title="Response Streaming")
st.title("Response Streaming")

input_text = st.text_area("Input text", label_visibility="collapsed")
go_button = st.button("Go", type="primary")

if go_button:
    st_callback = StreamlitCallbackHandler(st.container())
    glib.get_streaming_response(prompt=input_text, streaming_callback=st_callback)
