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
    """Where a model is to be had.

    Attributes
    ----------
    base_url : str
        Such as ``http://127.0.0.1:11434/v1`` (Ollama).
    model : str
        Such as ``qwen2.5:14b``.
    key_variable : str
        The environment variable that holds the key; empty: ``ENDPOINT_KEY``, where that is set.
    timeout_s : float

    Raises
    ------
    AccessError
        If the address holds a user or a password.
    """

    base_url: str
    model: str
    key_variable: str = ""
    timeout_s: float = 60.0

    def __post_init__(self) -> None:
        variable = self.key_variable or ENDPOINT_KEY
        refuse_keys(self.base_url, what="the language model", variable=variable)

    def ask(
        self,
        messages: Sequence[dict[str, str]],
        *,
        schema: dict[str, Any] | None = None,
        temperature: float = 0.0,
        seed: int | None = None,
    ) -> str:
        """The text of one answer.

        Parameters
        ----------
        messages : sequence of {"role": ..., "content": ...}
        schema : dict, optional
            A JSON schema that the answer is asked to fit (structured output); it is not checked.
        temperature : float
        seed : int, optional

        Raises
        ------
        EndpointError
            If the address does not answer in time, refuses, or sends no chat completion.
        """
        import httpx

        body: dict[str, Any] = {
            "model": self.model,
            "temperature": temperature,
            "messages": list(messages),
        }
        if seed is not None:
            body["seed"] = seed
        if schema is not None:
            named = {"name": "answer", "schema": schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": named}
        url = f"{self.base_url.rstrip('/')}/chat/completions"
        try:
            response = httpx.post(url, json=body, headers=self._headers(), timeout=self.timeout_s)
            content = response.raise_for_status().json()["choices"][0]["message"]["content"]
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, LookupError, TypeError) as error:
            raise EndpointError(
                f"{url} ({self.model}) gave no answer: {type(error).__name__}: {error}; "
                "check that the server runs, the model's name and the key"
            ) from error
        if not isinstance(content, str) or not content.strip():
            raise EndpointError(f"{url} ({self.model}) gave an empty answer; ask again or raise "
                                "its limit of tokens")  # fmt: skip
        return content

    def _headers(self) -> dict[str, str]:
        key = read_key(self.key_variable or ENDPOINT_KEY)
        if not key and not self.key_variable:
            return {}
        if not key:
            raise EndpointError(
                f"the environment variable {self.key_variable} is empty: put the key of "
                f"{self.base_url} there"
            )
        return {"Authorization": f"Bearer {key}"}
