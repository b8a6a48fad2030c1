"""Links to results that whoever has them may use, for some days."""

from __future__ import annotations

import hashlib
import hmac
import time
from dataclasses import dataclass, field

from acreage.backend.errors import ResultLinkExpired, ResultLinkInvalid


@dataclass(frozen=True)
class Signer:
    """Signs what a link leads to.

    Attributes:
        key: secret.
        life_s: seconds for which a link can be used.
    """

    key: bytes = field(repr=False)
    life_s: float

    def sign(self, *what: str, expires: str | None = None) -> dict[str, str]:
        """Query parameters of a link to something; `expires`: those of another link, else after `life_s`."""
        expires = expires or str(int(time.time() + self.life_s))
        return {"expires": expires, "signature": self._signature(expires, *what)}

    def check(self, expires: str, signature: str, *what: str) -> None:
        """Refuse a link that was not signed so, or not lately.

        Raises:
            ResultLinkInvalid, ResultLinkExpired
        """
        if not hmac.compare_digest(self._signature(expires, *what).encode(), signature.encode()):
            raise ResultLinkInvalid("The link's signature is wrong.", hint="Ask for the results again.")
        if not expires.isdecimal() or int(expires) < time.time():
            raise ResultLinkExpired("The link has expired.", hint="Ask for the results again.")

    def _signature(self, *what: str) -> str:
        # Lengths, so that no two lists of texts are signed alike.
        text = "".join(f"{len(w)}:{w}" for w in what)
        return hmac.new(self.key, text.encode(), hashlib.sha256).hexdigest()
