"""What programs look for in /etc: one user, UTC, no network, the usual types of files, and fonts.

All of it is written here. A host's own /etc is not for scripts: it names users, neighbours, mirrors and disks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from airlock.backends import TERMINALS

if TYPE_CHECKING:
    from collections.abc import Iterable

USER: Final = "sandbox"
SHELL: Final = "/bin/sh"
NO_TERMINALS: Final = f"airlock: all {TERMINALS} pseudo-terminals of this execution are in use"
NOBODY: Final = 65_534  # whose files those of the host are in a user namespace

HOSTS: Final = "127.0.0.1 localhost sandbox\n::1 localhost ip6-localhost ip6-loopback\n"
NSSWITCH: Final = "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nservices: files\nprotocols: files\n"
# An address that leads nowhere (TEST-NET-1): a name of the internet is an attempt to leave, and fails at once.
RESOLVER: Final = "nameserver 192.0.2.1\noptions attempts:1 timeout:1\n"
PROTOCOLS: Final = "ip 0 IP\nicmp 1 ICMP\ntcp 6 TCP\nudp 17 UDP\nipv6 41 IPv6\nipv6-icmp 58 IPv6-ICMP\n"
SERVICES: Final = """\
ftp 21/tcp
ssh 22/tcp
smtp 25/tcp mail
domain 53/tcp
domain 53/udp
http 80/tcp www
pop3 110/tcp
ntp 123/udp
imap2 143/tcp imap
https 443/tcp
https 443/udp
imaps 993/tcp
mysql 3306/tcp
postgresql 5432/tcp
"""
# Beside those that Python's `mimetypes` knows by itself.
MIME_TYPES: Final = """\
application/epub+zip epub
application/rtf rtf
application/vnd.oasis.opendocument.presentation odp
application/vnd.oasis.opendocument.spreadsheet ods
application/vnd.oasis.opendocument.text odt
application/vnd.openxmlformats-officedocument.presentationml.presentation pptx
application/vnd.openxmlformats-officedocument.spreadsheetml.sheet xlsx
application/vnd.openxmlformats-officedocument.wordprocessingml.document docx
application/x-7z-compressed 7z
audio/flac flac
audio/ogg ogg oga
font/otf otf
font/ttf ttf
font/woff woff
font/woff2 woff2
image/webp webp
text/markdown md markdown
video/ogg ogv
video/x-matroska mkv
"""
OPENSSL: Final = "[req]\ndistinguished_name = name\n[name]\n"  # without it `openssl req` does nothing
FONTS: Final = """\
<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd">
<fontconfig>
  <dir>/usr/share/fonts</dir>
  <dir>/usr/local/share/fonts</dir>
{site}  <dir prefix="xdg">fonts</dir>
  <cachedir prefix="xdg">fontconfig</cachedir>
  <alias><family>sans-serif</family><prefer><family>DejaVu Sans</family></prefer></alias>
  <alias><family>serif</family><prefer><family>DejaVu Serif</family></prefer></alias>
  <alias><family>monospace</family><prefer><family>DejaVu Sans Mono</family></prefer></alias>
</fontconfig>
"""
PACKAGED_FONTS: Final = "matplotlib/mpl-data/fonts/ttf"  # DejaVu, where a machine has no fonts at all


def surroundings(uids: Iterable[int], site: str | None) -> dict[str, str]:
    """Return the files that a script finds in /etc, by their paths.

    `uids` are those that it may see itself under, all by the same name and each with the group of the same number.
    `site` is where the project's packages lie, if it has any.
    """
    users = [(USER, uid, "/tmp") for uid in uids]  # noqa: S108 - the sandbox's private one
    known = [("root", 0, "/root"), *users, ("nobody", NOBODY, "/nonexistent")]
    fonts = "" if site is None else f"  <dir>{site}/{PACKAGED_FONTS}</dir>\n"
    return {
        "/etc/passwd": "".join(f"{name}:x:{uid}:{uid}:{name}:{home}:{SHELL}\n" for name, uid, home in known),
        "/etc/group": "".join(f"{name}:x:{gid}:\n" for name, gid, _ in known),
        "/etc/hosts": HOSTS,
        "/etc/hostname": "sandbox\n",
        "/etc/nsswitch.conf": NSSWITCH,
        "/etc/resolv.conf": RESOLVER,
        "/etc/protocols": PROTOCOLS,
        "/etc/services": SERVICES,
        "/etc/ssl/openssl.cnf": OPENSSL,
        "/etc/timezone": "Etc/UTC\n",
        "/etc/mime.types": MIME_TYPES,
        "/etc/fonts/fonts.conf": FONTS.format(site=fonts),
    }
