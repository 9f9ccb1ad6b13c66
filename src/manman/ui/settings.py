"""Settings of the web pages."""

from typing import Annotated, Literal

import msgspec


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Where the API is, how people reach the pages, and what the installation is called."""

    api_url: Annotated[str, msgspec.Meta(description="the API's base URL, as the web pages reach it")] = (
        "http://127.0.0.1:8080"
    )
    public_url: Annotated[
        str | None, msgspec.Meta(description="the URL under which people open the pages; https makes the cookie Secure")
    ] = None
    allowed_hosts: Annotated[
        tuple[str, ...], msgspec.Meta(description="further host names that requests may name, beside PUBLIC_URL's")
    ] = ()
    auth_mode: Annotated[
        Literal["login", "none"],
        msgspec.Meta(description="as the API's: with 'none' the pages refuse whatever came through a proxy"),
    ] = "login"
    environment_name: Annotated[
        str, msgspec.Meta(description="stands beside the name on every page, 'prod' or 'test'; empty shows nothing")
    ] = ""
    environment_warns: Annotated[
        bool, msgspec.Meta(description="whether the environment's name is shown in the warning tone")
    ] = False
    ui_host: Annotated[str, msgspec.Meta(description="the address that `manman ui` listens on")] = "127.0.0.1"
    ui_port: Annotated[int, msgspec.Meta(description="the port that `manman ui` listens on", ge=0, le=65535)] = 8081

    @property
    def secure(self) -> bool:
        """Whether people come by https; then the cookie is `__Host-manman`, else browsers would drop it."""
        return (self.public_url or "").startswith("https://")
