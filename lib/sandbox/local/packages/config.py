"""What sessions are given of a host's package configuration: run by the library, outside of any sandbox, as

    config.py [--pip FILE] [--npm FILE] [--ca FILE] [--host] [--wheels FOLDER]

Writes to descriptor 3 what is to be there, as fields of lib/wire/setup.h: files, variables, folders to be shown
read-only; or the reason why not. --host asks pip and npm's files for the configuration in effect; FILEs come on top.
"""

import argparse
import configparser
import os
import re
import struct
import subprocess
import sys
from urllib.parse import unquote, urlsplit

ENV, MESSAGE, FILE_PATH, FILE_DATA, SHARE = 68, 78, 100, 101, 102
INSIDE = "/opt/libci/config/"
WHEELS_INSIDE = "/opt/libci/wheels"
SIZE_MAX = 4 << 20
SHARES_MAX = 8

SYSTEM_BUNDLES = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"]
CA_VARIABLES = ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS"]
PROXY_VARIABLES = ["http_proxy", "https_proxy", "no_proxy", "all_proxy"]
NPM_GLOBAL = ["/usr/local/etc/npmrc", "/usr/etc/npmrc", "/etc/npmrc"]
# What says where packages come from and how they are reached; all else is the host's own business.
PIP_KEYS = {
    "index-url", "extra-index-url", "find-links", "no-index", "trusted-host", "proxy", "cert", "client-cert",
    "constraint", "timeout", "default-timeout", "retries", "prefer-binary", "only-binary", "no-binary", "pre",
}  # fmt: skip
NPM_KEY = re.compile(r"(@[^:]+:)?registry|//.*|ca|cafile|https?-proxy|proxy|noproxy|strict-ssl|fetch-.*", re.I)
# Parts of the system, which a session has of its own or must not see.
TAKEN = "/usr /bin /sbin /lib /lib32 /lib64 /libx32 /etc /proc /sys /dev /run /boot".split()
TAKEN += ["/workspace", "/home/user", "/opt/libci"]
TOO_WIDE = ["/", "/home", "/root", "/opt", "/tmp", "/var", "/mnt", "/srv", "/media"]


class Refused(Exception):
    """Why there is no such configuration, in a sentence."""


def read(path, option):
    try:
        with open(path, "rb") as file:
            data = file.read(SIZE_MAX + 1)
    except OSError as error:
        raise Refused("%s: %s: %s" % (option, path, error.strerror)) from None
    if len(data) > SIZE_MAX:
        raise Refused("%s: %s: more than 4 MiB" % (option, path))
    return data


class Given:
    """What the session gets."""

    def __init__(self):
        self.files, self.variables, self.shares, self.bundles = {}, {}, {}, []

    def share(self, folder, target=None):
        folder = os.path.normpath(folder)
        target = target or folder
        inside = any(folder == taken or folder.startswith(taken + "/") for taken in TAKEN)
        if target == folder and (inside or folder in TOO_WIDE):
            return
        if os.path.isdir(folder) and len(self.shares) < SHARES_MAX:
            self.shares[target] = folder

    def add_bundle(self, path, option):
        """Certificates of authorities. The system's own come first, once."""
        path = os.path.realpath(path)
        if path not in [known for known, _ in self.bundles]:
            self.bundles.append((path, read(path, option)))

    def finish(self):
        if not self.bundles:
            return
        for path in SYSTEM_BUNDLES:
            if os.path.exists(path):
                system = os.path.realpath(path)
                self.bundles = [bundle for bundle in self.bundles if bundle[0] != system]
                self.bundles.insert(0, (system, read(system, "ca_file")))
                break
        self.files["ca.pem"] = b"\n".join(data for _, data in self.bundles)
        for name in CA_VARIABLES:
            self.variables[name] = INSIDE + "ca.pem"

    def write(self, fd):
        out = bytearray()
        for name, data in self.files.items():
            out += field(FILE_PATH, (INSIDE + name)[1:].encode()) + field(FILE_DATA, data)
        for name, value in self.variables.items():
            out += field(ENV, os.fsencode("%s=%s" % (name, value)))
        for target, folder in self.shares.items():
            out += field(SHARE, os.fsencode(folder) + b"\n" + os.fsencode(target))
        send(fd, out)


def field(key, data):
    return struct.pack("<BI", key, len(data)) + data


def send(fd, data):
    while data:
        data = data[os.write(fd, data) :]


# --- pip --------------------------------------------------------------------------------------------------------------


def parser_of(text, option):
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(text)
    except configparser.MissingSectionHeaderError as error:
        raise Refused("%s, line %d: before the first [section]" % (option, error.lineno)) from None
    except configparser.ParsingError as error:  # whose own words have the line, and it may hold a secret
        raise Refused('%s, line %d: neither "[section]" nor "key = value"' % (option, error.errors[0][0])) from None
    except configparser.Error as error:
        raise Refused("%s, line %d: a section or key is there twice" % (option, error.lineno)) from None
    return parser


def pip_in_effect():
    """What `pip config list` tells: SECTION.KEY='value', variables as section ":env:"."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    told = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
    parser = configparser.RawConfigParser()
    parser.add_section("global")
    sections = {"global": [], "download": [], "install": [], ":env:": []}  # the later ones count more
    for line in told.stdout.splitlines():
        name, _, value = line.partition("=")
        section, _, key = name.partition(".")
        key = key.lstrip(".")
        if section in sections and key in PIP_KEYS:
            # It is printed as Python would.
            sections[section].append((key, value[1:-1].replace("\\n", "\n").replace("\\\\", "\\")))
    for pairs in sections.values():
        for key, value in pairs:
            parser.set("global", key, value)
    return parser


def local_path(text):
    if text.startswith("file:"):
        return unquote(urlsplit(text).path)
    return text if text.startswith("/") else None


def bring_pip(given, parser, wheels):
    """Folders it names are shown; files are copied, and named as they are called inside."""
    if wheels:
        given.share(wheels, WHEELS_INSIDE)
    for section in parser.sections():
        for key, value in parser.items(section):
            values = value.split()
            if key in ("index-url", "extra-index-url", "find-links"):
                for path in filter(None, map(local_path, values)):
                    # What the pages of an index link to lies beside them as a rule.
                    given.share(os.path.dirname(path) if os.path.basename(path.rstrip("/")) == "simple" else path)
            elif key == "cert":
                given.add_bundle(value, "pip: cert")
                parser.set(section, key, INSIDE + "ca.pem")
            elif key in ("client-cert", "constraint") and values and values[0].startswith("/"):
                copies = []
                for path in values:
                    name = "%s-%d" % (key, len(given.files))
                    given.files[name] = read(path, "pip: " + key)
                    copies.append(INSIDE + name)
                parser.set(section, key, "\n".join(copies))
    if wheels:
        for section in {"global"} | {s for s in parser.sections() if parser.has_option(s, "find-links")}:
            if not parser.has_section(section):
                parser.add_section(section)
            others = parser.get(section, "find-links") if parser.has_option(section, "find-links") else ""
            parser.set(section, "find-links", "\n".join([WHEELS_INSIDE, *others.split()]))
    lines = []
    for section in parser.sections():
        lines.append("[%s]" % section)
        for key, value in parser.items(section):
            lines.append("%s = %s" % (key, value.strip().replace("\n", "\n    ")))
    given.files["pip.conf"] = ("\n".join(lines) + "\n").encode("utf-8", "surrogateescape")
    given.variables["PIP_CONFIG_FILE"] = INSIDE + "pip.conf"


# --- npm --------------------------------------------------------------------------------------------------------------


def npm_lines(text):
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals and not key.lstrip().startswith(("#", ";")):
            yield key.strip(), value.strip().strip("\"'")


def npm_in_effect(environ):
    """The files that npm reads, and its variables, put together: `npm config list` keeps tokens to itself."""
    found = {}
    home = os.path.expanduser("~/.npmrc")
    variables = {name.lower(): value for name, value in environ.items() if name.lower().startswith("npm_config_")}
    system = variables.get("npm_config_globalconfig") or next(filter(os.path.exists, NPM_GLOBAL), "")
    for path in (system, variables.get("npm_config_userconfig", home)):
        if path and os.path.exists(path):
            found.update(npm_lines(read(path, "npm").decode("utf-8", "replace")))
    for name, value in variables.items():
        found[name[len("npm_config_") :].replace("_", "-")] = value
    kept = [(key.rstrip("[]"), key, value) for key, value in found.items()]
    expand = re.compile(r"\$\{([^}]+)\}")
    return {
        key: expand.sub(lambda match: environ.get(match.group(1), match.group(0)), value)
        for plain, key, value in kept
        if NPM_KEY.fullmatch(plain)
    }


def bring_npm(given, text):
    lines = []
    for line in text.splitlines():
        for key, value in npm_lines(line):
            if key == "cafile":
                given.add_bundle(value, "npm: cafile")
                line = "cafile=%sca.pem" % INSIDE
        lines.append(line)
    given.files["npmrc"] = ("\n".join(lines) + "\n").encode()
    given.variables["NPM_CONFIG_GLOBALCONFIG"] = INSIDE + "npmrc"


# --- all of it --------------------------------------------------------------------------------------------------------


def bring_host(given, environ):
    for name in PROXY_VARIABLES:
        value = environ.get(name) or environ.get(name.upper())
        if value:
            given.variables[name] = given.variables[name.upper()] = value
    for name in CA_VARIABLES:
        if environ.get(name) and os.path.isfile(environ[name]):
            given.add_bundle(environ[name], name)


def collect(options, environ):
    given = Given()
    if options.host:
        bring_host(given, environ)
    if options.ca:
        given.add_bundle(options.ca, "ca_file")
        if b"-----BEGIN " not in given.bundles[-1][1]:
            raise Refused("ca_file: %s: no certificate in it (no line -----BEGIN CERTIFICATE-----)" % options.ca)
    pip = pip_in_effect() if options.host else configparser.RawConfigParser()
    if options.pip:
        text = read(options.pip, "pip_config").decode("utf-8", "replace")
        pip.read_dict(parser_of(text, "pip_config: " + options.pip))
    if pip.sections() or options.wheels:
        bring_pip(given, pip, options.wheels)
    npm = npm_in_effect(environ) if options.host else {}
    text = "".join("%s=%s\n" % pair for pair in npm.items())
    if options.npm:
        text += read(options.npm, "npm_config").decode("utf-8", "replace")
    if text:
        bring_npm(given, text)
    given.finish()
    return given


def main():
    parser = argparse.ArgumentParser()
    for name in ("--pip", "--npm", "--ca", "--wheels"):
        parser.add_argument(name)
    parser.add_argument("--host", action="store_true")
    try:
        collect(parser.parse_args(), dict(os.environ)).write(3)
    except (Refused, subprocess.SubprocessError, OSError) as error:
        send(3, field(MESSAGE, str(error).encode("utf-8", "replace")[:1000]))


if __name__ == "__main__":
    main()
