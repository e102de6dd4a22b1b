"""Apache httpd's balancer-manager, which answers 200 to everything, also to what it has thrown away."""

import math
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx

from rollsafe.drivers.balancers.apache_parse import (
    FLAGS,
    STOPPED,
    Page,
    Pool,
    Worker,
    is_manager,
    parse_page,
    parse_xml,
    pool_reading,
)
from rollsafe.drivers.balancers.deadline import Deadline, Dial, SocketLike
from rollsafe.drivers.http import Answer, ask_bounded, make_client, never_sent
from rollsafe.errors import BalancerError, Effect, InvalidInput, NoSuchPool
from rollsafe.model.reading import AdminState, Found, PoolReading
from rollsafe.model.secret import hide
from rollsafe.model.settings import BalancerSettings, EndpointSettings
from rollsafe.model.wording import ended
from rollsafe.ports import Balancer

if TYPE_CHECKING:
    from rollsafe.drivers.balancers import SshFor

PAGE_LIMIT = 4 * 1024 * 1024  # bytes; a manager with 2,000 members needs less
TITLES = {
    401: "the username or password is wrong or missing: set `username` and `password` of this balancer",
    403: "this machine may not use the balancer-manager: look at the `Require` lines of its <Location>",
    404: "there is no such page: compare the address with the <Location> of `SetHandler balancer-manager`",
}


class ApacheBalancer:
    """One httpd's balancer-manager page. Seats are named by their URL, as the page shows them. Safe between threads."""

    def __init__(self, balancer: BalancerSettings, endpoint: EndpointSettings, ssh_for: "SshFor") -> None:
        """Connects to nothing yet. Raises InvalidInput for an address or option that makes no sense."""
        if not is_manager(endpoint.url):
            raise InvalidInput([f"balancers: {endpoint.url}: the apache driver takes https://HOST/balancer-manager"])
        if balancer.options:
            raise InvalidInput(
                [f"balancers.{balancer.name}.{key}: the apache driver has no such option" for key in balancer.options]
            )
        self._url = endpoint.url
        self._timeout_s = endpoint.timeout_s
        self._page: Page | None = None  # as last fetched; its nonces tell whether it still holds
        self._client = make_client(
            timeout_s=endpoint.timeout_s,
            username=endpoint.username,
            password=endpoint.password,
            ca_file=endpoint.ca_file,
            dial=_through(endpoint, ssh_for),
            tls=endpoint.url.startswith("https:"),
        )

    def close(self) -> None:
        """Let go of the connections that are kept open between calls."""
        self._client.close()

    def read(self, pool: str) -> PoolReading:
        """All members of a balancer (`pool` without balancer://)."""
        found, page, nonce = self._look(pool, Deadline(self._timeout_s))
        return pool_reading(found, nonce, page.checked)

    def write(self, pool: str, seat: str, to: Found, *, within_s: float = math.inf) -> None:
        """Set the flags N (drain) and D (disable) of a member. No other is touched, but a stop that `ready` ends."""
        deadline = Deadline(min(self._timeout_s, within_s))
        try:
            found, page, nonce = self._look(pool, deadline)
        except BalancerError as error:
            raise BalancerError(str(error), effect=Effect.NONE) from error  # nothing but reading was tried
        worker = next((worker for worker in found.workers if worker.name == seat), None)
        if worker is None:
            seats = ", ".join(worker.name for worker in found.workers)
            raise BalancerError(
                f"{self._url}: balancer://{pool} has no member {seat}; it has: {seats or 'none'}.", effect=Effect.NONE
            )
        form = {"b": pool, "w": seat, "nonce": nonce} | {f"w_status_{k}": v for k, v in _flags(worker, to).items()}
        self._ask("POST", self._url, page.server_name, deadline, form)

    def _look(self, pool: str, deadline: Deadline) -> tuple[Pool, Page, str]:
        """The pool as it is now, with the page and the nonce of the same process. Raises BalancerError."""
        page = self._page or self._fetch_page(deadline)
        pools = self._fetch_xml(page, deadline)
        if pools is None:  # the server has another name than it had, or drops our Referer for a reason of its own
            page = self._fetch_page(deadline)
            pools = self._fetch_xml(page, deadline)
        if pools is None:
            raise BalancerError(
                f"{self._url} shows its page but drops the question: it does not take {page.server_name!r} in the "
                "Referer for its own name. Look for AH10187 in its error log, and at UseCanonicalName and ServerName."
            )
        if pool not in pools:
            raise NoSuchPool(
                f"{self._url}: there is no balancer://{pool}; there are: {', '.join(pools) or 'none'}",
                effect=Effect.NONE,
            )
        found = pools[pool]
        if found.nonce is None or found.nonce != page.nonces.get(pool):
            page = self._fetch_page(deadline)  # a restart since then, or a version whose XML tells no nonce
        nonce = found.nonce if found.nonce is not None else page.nonces.get(pool, "")
        return found, page, nonce

    def _fetch_page(self, deadline: Deadline) -> Page:
        answer = self._ask("GET", self._url, "", deadline)
        page = parse_page(answer.text)
        if page is None:
            raise BalancerError(
                f"{self._url} answers, but not with a balancer-manager page (it begins {hide(answer.text)[:80]!r}). "
                "Is the address right, and does `ProxyPass /balancer-manager !` come before the other ProxyPass lines?"
            )
        self._page = page
        return page

    def _fetch_xml(self, page: Page, deadline: Deadline) -> dict[str, Pool] | None:
        answer = self._ask("GET", f"{self._url}?xml=1", page.server_name, deadline)
        try:
            return parse_xml(answer.text)
        except BalancerError as error:
            raise BalancerError(f"{self._url}: {error}") from error

    def _ask(
        self, method: str, url: str, server_name: str, deadline: Deadline, form: dict[str, str] | None = None
    ) -> Answer:
        headers = {"Referer": self._referer(server_name)} if server_name else {}

        def send() -> Answer:
            limit_s = deadline.left()
            return ask_bounded(
                self._client, method, url, limit=PAGE_LIMIT, headers=headers, data=form, timeout_s=limit_s
            )

        try:
            try:
                answer = send()
            except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
                if method != "GET":
                    raise
                answer = send()  # httpd may close a connection that was kept (a graceful restart does): reads go again
        except httpx.HTTPError as error:
            raise self._failure(error) from error
        except TimeoutError as error:  # the time was used up by the questions before this one
            raise BalancerError(f"{self._url}: {error}", effect=Effect.NONE) from error
        self._check(answer)
        return answer

    def _referer(self, server_name: str) -> str:
        """Apache obeys a question only if the Referer names the server as it names itself."""
        parts = urlsplit(self._url)
        host = f"[{server_name}]" if ":" in server_name and not server_name.startswith("[") else server_name
        return f"{parts.scheme}://{host}{parts.path}"

    def _failure(self, error: httpx.HTTPError) -> BalancerError:
        text = hide(str(error)) or type(error).__name__
        if never_sent(error):
            fix = "Is httpd running, and is this its address?"
            if "CERTIFICATE_VERIFY_FAILED" in text:
                fix = "Set `ca_file` to the authority that signed its certificate."
            return BalancerError(f"{self._url} can't be reached: {ended(text)} {fix}", effect=Effect.NONE)
        if isinstance(error, httpx.TimeoutException):
            return BalancerError(f"{self._url} gave no whole answer within {self._timeout_s:g} s: does httpd hang?")
        return BalancerError(f"{self._url} broke off in the middle of an answer: {text}")

    def _check(self, answer: Answer) -> None:
        """Raises BalancerError for an answer that is not a whole 200."""
        if answer.truncated:
            raise BalancerError(f"{self._url} answered more than {PAGE_LIMIT} bytes: is it a balancer-manager?")
        status = answer.status
        if status == 200:
            return
        if status in TITLES:
            raise BalancerError(f"{self._url} answers {status}: {TITLES[status]}.", effect=Effect.NONE)
        if 300 <= status < 400:
            where = hide(answer.headers.get("location", "nowhere").partition("?")[0])[:200]  # it may quote our login
            text = f"{self._url} answers {status} and points to {where}: use that address."
            raise BalancerError(text, effect=Effect.NONE)
        effect = Effect.UNKNOWN if status >= 500 else Effect.NONE
        raise BalancerError(f"{self._url} answers {status}: look at httpd's error log.", effect=effect)


_conforms: type[Balancer] = ApacheBalancer


def _flags(worker: Worker, to: Found) -> dict[str, str]:
    """The flags to post. As found: exactly those that a reading showed. Else: what the state needs, and no more."""
    if set(to.restore) >= set(FLAGS):
        return {letter: to.restore[letter] for letter in FLAGS}
    if to.admin is AdminState.DRAIN:
        return {"N": "1", "D": "0"}
    if to.admin is AdminState.MAINT:
        return {"D": "1"}  # N stays as it is: Apache keeps both
    return {"N": "0", "D": "0"} | ({"S": "0"} if STOPPED in worker.words else {})


def _through(endpoint: EndpointSettings, ssh_for: "SshFor") -> Dial | None:
    """How to connect, where the endpoint is reached through a host; None: straight."""
    via = endpoint.via
    if via is None:
        return None

    def dial(host: str, port: int, timeout_s: float) -> SocketLike:
        return ssh_for(via).dial_tcp(host, port, timeout_s=timeout_s)

    return dial
