"""A language model behind an OpenAI-compatible address: Ollama, vLLM, or a provider.

The key comes from the environment or from ``.env``, never from the address, and is never stored or
shown. What comes back is text and nothing else; whoever asks checks it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from helpers.store.credentials import ENDPOINT_KEY, read_key, refuse_keys


class EndpointError(RuntimeError):
    """An address that did not answer, or not in the form of a chat completion."""


@dataclass(frozen=True)
class Endpoint:
    """Where a model is to be had; its key, if it needs one, is ``ENDPOINT_KEY``.

    Attributes
    ----------
    base_url : str
        Such as ``http://127.0.0.1:11434/v1`` (Ollama).
    model : str
        Such as ``qwen2.5:14b``.
    timeout_s : float

    Raises
    ------
    AccessError
        If the address holds a user or a password.
    """

    base_url: str
    model: str
    timeout_s: float = 60.0

    def __post_init__(self) -> None:
        refuse_keys(self.base_url, what="the language model", variable=ENDPOINT_KEY)

    def ask(
        self, messages: Sequence[dict[str, str]], *, schema: dict[str, Any] | None = None,
        temperature: float = 0.0, seed: int | None = None,
    ) -> str:  # fmt: skip
        """The text of one answer to ``{"role": ..., "content": ...}`` messages.

        ``schema`` is a JSON schema that the answer is asked to fit; whether it does is not checked.

        Raises ``EndpointError`` if the address does not answer in time, refuses, or sends no chat
        completion.
        """
        import httpx

        body = {"model": self.model, "temperature": temperature, "messages": list(messages)}
        if seed is not None:
            body["seed"] = seed
        if schema is not None:
            named = {"name": "answer", "schema": schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": named}
        url, key = f"{self.base_url.rstrip('/')}/chat/completions", read_key(ENDPOINT_KEY)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        try:
            response = httpx.post(url, json=body, headers=headers, timeout=self.timeout_s)
            content = response.raise_for_status().json()["choices"][0]["message"]["content"]
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, LookupError, TypeError) as error:
            raise EndpointError(
                f"{url} ({self.model}) gave no answer: {type(error).__name__}: {error}; "
                "check that the server runs, the model's name and the key"
            ) from error
        if not isinstance(content, str) or not content.strip():
            raise EndpointError(
                f"{url} ({self.model}) gave an empty answer; ask again or raise its limit of tokens"
            )
        return content
