"""Small configurations of an SSH client, one for each rule of ssh_config(5) that Tonearm depends on."""

from __future__ import annotations

from typing import NamedTuple


class Config(NamedTuple):
    """A person's ~/.ssh/config, the host that is asked for, and other files in ~/.ssh."""

    about: str
    text: str
    host: str = "pi"
    files: dict[str, str] = {}  # noqa: RUF012  # never changed


CONFIGS = (
    Config("nothing", ""),
    Config("a host", "Host pi\n  HostName 10.0.0.7\n  Port 2222\n  User kim\n"),
    Config("another host", "Host bela\n  HostName 10.0.0.7\n"),
    Config("the first value counts", "Host pi\n  Port 1\nHost *\n  Port 2\n"),
    Config("before any block", "Port 3\nHost pi\n  Port 1\n"),
    Config("patterns", "Host p?\n  Port 4\nHost *.local\n  User kim\n", "pi"),
    Config("a pattern with a dot", "Host *.local\n  User kim\n", "pi.local"),
    Config("several patterns", "Host a b pi c\n  Port 5\n"),
    Config("a pattern that excludes", "Host * !pi\n  Port 6\n"),
    Config("a pattern that excludes comes first", "Host !pi *\n  Port 6\n"),
    Config("only a pattern that excludes", "Host !bela\n  Port 6\n"),
    Config("case counts in Host", "Host PI\n  Port 7\n"),
    Config("case of a name in capitals", "Host PI\n  Port 7\n", "PI"),
    Config("brackets mean themselves", "Host p[i]\n  Port 8\n"),
    Config("equals signs", "Host=pi\nPort = 9\nUser=kim\n"),
    Config("keywords in any case", "HOST pi\n\tPORT 10\n  uSeR kim\n"),
    Config("quotes", 'Host "pi"\n  User "kim"\n  IdentityFile "~/my keys/pi"\n'),
    Config("single quotes", "Host 'pi'\n  IdentityFile '~/my keys/pi'\n"),
    Config("escapes", 'Host pi\n  IdentityFile ~/my\\ keys/pi\n  HostKeyAlias k\\"im\n'),
    Config("a keyword in quotes", '"Host" pi\n  "Port" 11\n'),
    Config("comments", "# all\nHost pi # mine\n  Port 12 # twelve\n  HostKeyAlias kim#x\n  #User root\n"),
    Config("a comment in quotes", 'Host pi\n  IdentityFile "~/#1"\n'),
    Config("line ends of DOS", "Host pi\r\n  Port 13\r\n"),
    Config("tabs and a form feed", "Host\tpi\n\tPort\t14\f\n"),
    Config("a null byte", "Host pi\n  Port 15\0 16\n  UserKnownHostsFile ~/a\0b\n"),
    Config("no line end", "Host pi\n  Port 15"),
    Config("a port by its name", "Host pi\n  Port ssh\n"),
    Config("a port with a sign", 'Host pi\n  Port " +22"\n  ConnectTimeout " +1m"\n'),
    Config("%h", "Host pi\n  HostName %h.local\n"),
    Config("%%", "Host pi\n  HostName fe80::1%%eth0\n"),
    Config("names in capitals", "Host pi\n  HostName PI.Local\n"),
    Config("an address in short", "Host pi\n  HostName 127.1\n"),
    Config("an IPv6 address in long", "Host pi\n  HostName 0:0:0:0:0:0:0:1\n"),
    Config("Match host", "Match host pi\n  Port 16\nMatch host bela\n  User no\n"),
    Config("Match host sees HostName", "Host pi\n  HostName pi.local\nMatch host *.local\n  Port 17\n"),
    Config("Match originalhost does not", "Host pi\n  HostName x\nMatch originalhost pi\n  Port 18\n"),
    Config("Match host in capitals", "Match host PI,X\n  Port 19\n"),
    Config("Match with lists", "Match host bela,p*,!pj\n  Port 20\nMatch host p*,!pi\n  User no\n"),
    Config("Match user", "Host pi\n  User kim\nMatch user kim\n  Port 21\nMatch user root\n  Port 23\n"),
    Config("Match user of nobody yet", "Match user {me}\n  Port 24\n"),
    Config("Match localuser", "Match localuser {me}\n  Port 25\nMatch !localuser {me}\n  User no\n"),
    Config("Match with several", "Match host pi user {me}\n  Port 26\nMatch host pi user kim\n  User no\n"),
    Config("Match negated", "Match !host bela\n  Port 27\nMatch !host pi\n  User no\n"),
    Config("Match all", "Match all\n  Port 28\n"),
    Config("Match not all", "Match !all\n  Port 28\n"),
    Config("Match with =", "Match host=pi user={me}\n  Port 29\n"),
    Config("Match with = and spaces", "Match host = pi\n  Port 30\n"),
    Config("Match in quotes", 'Match host "pi"\n  Port 31\n'),
    Config("Match with a comment", "Match host pi # mine\n  Port 32\n"),
    Config("Match exec", "Match exec true\n  Port 33\nMatch exec false\n  User no\n"),
    Config("Match exec in words", 'Match host pi exec "test %n = pi -a %h = pi"\n  Port 34\n'),
    Config("Match exec fails", 'Match exec "exit 3"\n  Port 34\nMatch !exec "exit 3"\n  User kim\n'),
    Config("Match exec and tokens", 'Match exec "test %p%r%L = 22{me}$(hostname -s)"\n  Port 35\n'),
    Config("Match exec after what fails", "Match host bela exec true\n  Port 35\n"),
    Config("Match final", "Host pi\n  HostName 10.0.0.7\nMatch final host 10.0.0.7\n  Port 36\n"),
    Config("Match final all", "Match final all\n  Port 37\n"),
    Config(
        "final: Host sees HostName", "Host 10.*\n  Port 38\nHost pi\n  HostName 10.0.0.7\nMatch final\n  User kim\n"
    ),
    Config("no final: it does not", "Host 10.*\n  Port 38\nHost pi\n  HostName 10.0.0.7\n"),
    Config("Match not final", "Match !final host pi\n  Port 39\n"),
    Config("Match canonical alone", "Match canonical\n  Port 40\n"),
    Config("Match canonical with final", "Match canonical all\n  Port 41\nMatch final host pi\n  User kim\n"),
    Config("canonical by request", "CanonicalizeHostname yes\nMatch canonical host pi\n  Port 42\n"),
    Config(
        "canonical in no domain", "CanonicalizeHostname yes\nCanonicalDomains invalid\nMatch canonical all\n  Port 43\n"
    ),
    Config("canonical and too many dots", "CanonicalizeHostname yes\nCanonicalizeMaxDots 0\n", "pi.invalid"),
    Config("Include", "Include more\nHost pi\n  Port 1\n", files={"more": "Host pi\n  Port 44\n"}),
    Config("Include without effect on what follows", "Include more\nUser kim\n", files={"more": "Host x\n  Port 44\n"}),
    Config(
        "Include in a block", "Host bela\n  Include more\n", files={"more": "Host *\n  Port 45\nMatch all\n  User no\n"}
    ),
    Config(
        "Include in this block",
        "Host pi\n  Include more\n  User kim\n",
        files={"more": "Host x\n  User no\nHost p*\n  Port 46\n"},
    ),
    Config("Include in a Match block", "Match host bela\n  Include more\n", files={"more": "Port 47\n"}),
    Config("Include of several", "Include a b nothing\n", files={"a": "Port 48\n", "b": "Port 49\nUser kim\n"}),
    Config(
        "Include of a pattern",
        "Include conf.d/*\n",
        files={"conf.d/b": "Port 50\n", "conf.d/a": "Port 51\n", "conf.d/.c": "User no\n"},
    ),
    Config("Include from home", "Include ~/.ssh/more\n", files={"more": "Port 52\n"}),
    Config(
        "Include in an included file",
        "Host pi\n  Include a\n",
        files={"a": "Include b\nHost x\n  Include c\n", "b": "Port 53\n", "c": "User no\n"},
    ),
    Config("Include in quotes", 'Include "my file"\n', files={"my file": "Port 54\n"}),
    Config(
        "final in an included file that does not count",
        "Host 10.*\n  Port 55\nHost pi\n  HostName 10.0.0.7\nHost x\n  Include more\n",
        files={"more": "Match final all\n  User no\n"},
    ),
    Config(
        "keys in order, each once",
        "Host pi\n  IdentityFile ~/a\n  IdentityFile ~/b\nHost *\n  IdentityFile ~/a\n  IdentityFile ~/c\n",
    ),
    Config("keys twice by a second pass", "IdentityFile ~/a\nMatch final\n  IdentityFile ~/b\n"),
    Config("tokens after HostName", "Host pi\n  HostName %h.local\n  UserKnownHostsFile ~/%h\n  IdentityFile ~/%h\n"),
    Config("HostName of the last pass", "Host pi\n  User kim\nMatch final\n  HostName other\n  Port 61\n"),
    Config("no keys", "Host pi\n  IdentityFile none\n"),
    Config(
        "keys by tokens", "Host pi\n  User kim\n  Port 56\n  HostName x\n  IdentityFile %d/.ssh/%h-%n-%p-%r-%u-%i-%%\n"
    ),
    Config(
        "keys by the environment",
        "Host pi\n  IdentityFile ${{TEST_KEYS}}/a\n  CertificateFile ${{TEST_KEYS}}/%h-cert.pub\n",
    ),
    Config(
        "certificates",
        "Host pi\n  CertificateFile ~/a-cert.pub\nCertificateFile ~/b-cert.pub\nCertificateFile ~/a-cert.pub\n",
    ),
    Config("only these keys", "Host pi\n  IdentitiesOnly yes\n"),
    Config("flags as true", "Host pi\n  IdentitiesOnly TRUE\n  HashKnownHosts false\n"),
    Config("agent by path", "Host pi\n  IdentityAgent ~/.agent-%h\n"),
    Config("agent by the environment", "Host pi\n  IdentityAgent ${{TEST_KEYS}}/agent\n"),
    Config("agent by a variable's name", "Host pi\n  IdentityAgent $TEST_KEYS\n"),
    Config("no agent", "Host pi\n  IdentityAgent none\n"),
    Config("the usual agent", "Host pi\n  IdentityAgent SSH_AUTH_SOCK\n"),
    Config("known hosts", 'Host pi\n  UserKnownHostsFile ~/a "~/b c" %d/%h\n  GlobalKnownHostsFile /x ~/y\n'),
    Config("no known hosts", "Host pi\n  UserKnownHostsFile none\n  GlobalKnownHostsFile none\n"),
    Config("known hosts by alias", "Host pi\n  HostKeyAlias Stage\n  UserKnownHostsFile ~/%k\n  HashKnownHosts no\n"),
    Config("revoked keys", "Host pi\n  RevokedHostKeys ~/revoked\n"),
    Config("seconds", "Host pi\n  ConnectTimeout 7\n"),
    Config("a minute", "Host pi\n  ConnectTimeout 1m\n"),
    Config("an hour and more", "Host pi\n  ConnectTimeout 1h2M3\n"),
    Config("no timeout", "Host pi\n  ConnectTimeout none\n"),
    Config("no timeout as 0", "Host pi\n  ConnectTimeout 0\n"),
    Config("a jump host", "Host pi\n  ProxyJump kim@lab:2222\n"),
    Config("jump hosts", "Host pi\n  ProxyJump a,kim@[fe80::1]:23,ssh://b:24 # two\n"),
    Config("no jump host", "Host pi\n  ProxyJump none\nHost *\n  ProxyJump lab\n"),
    Config("a jump host, then a command", "Host pi\n  ProxyJump lab\n  ProxyCommand nc %h %p\n"),
    Config("a command, then a jump host", "Host pi\n  ProxyCommand nc %h %p # not a comment\n  ProxyJump lab\n"),
    Config("no command, then a jump host", "Host pi\n  ProxyCommand none\n  ProxyJump lab\n"),
    Config("no jump host, then a command", "Host pi\n  ProxyJump none\n  ProxyCommand nc %h\n"),
    Config("a command with =", 'Host pi\n  ProxyCommand = sh -c "nc %h %p"\n'),
    Config("a keyword to ignore", "IgnoreUnknown UseKeychain\nHost pi\n  UseKeychain yes\n  Port 57\n"),
    Config("keywords of others", "Host pi\n  ForwardAgent yes\n  SendEnv A B\n  LocalForward 1 a:2\n  Port 58\n"),
    Config("an old name", "Host pi\n  IdentityFile2 ~/a\n"),
    Config("a host by address", "Host 10.0.0.*\n  Port 59\n", "10.0.0.7"),
    Config("a host by IPv6 address", "Host fe80::*\n  Port 60\n", "fe80::1"),
)
