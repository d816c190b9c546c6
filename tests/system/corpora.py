"""Holds what expiryd says of other people's certificates against OpenSSL and cryptography.

usage: corpora.py EXPIRYD FOLDER...    every file beneath the folders
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import warnings

from cryptography import x509

warnings.simplefilter("ignore")

# File name: why expiryd says something else, and rightly.
DIFFERENT = {
    "two_basic_constraints.pem": "OpenSSL takes the first of the two; what is doubtful is no CA here",
}


def openssl(path):
    """notAfter and the CA flag, or None where OpenSSL reads no certificate."""
    command = ["openssl", "x509", "-in", path, "-noout", "-enddate", "-dateopt", "iso_8601"]
    ends = subprocess.run(command, capture_output=True, check=False)
    if ends.returncode:
        return None
    date = ends.stdout.decode().strip().removeprefix("notAfter=").replace(" ", "T")
    command = ["openssl", "x509", "-in", path, "-noout", "-ext", "basicConstraints"]
    constraints = subprocess.run(command, capture_output=True, check=False)
    return date, b"CA:TRUE" in constraints.stdout


def cryptography(content):
    """The same by cryptography; the flag is None where it cannot read the extensions."""
    for load in (x509.load_pem_x509_certificate, x509.load_der_x509_certificate):
        try:
            certificate = load(content)
            ends = certificate.not_valid_after_utc
        except (ValueError, x509.InvalidVersion):
            continue
        try:
            constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
            is_ca = constraints.value.ca
        except x509.ExtensionNotFound:
            is_ca = False
        except Exception:  # It has an exception of its own for each thing it cannot read.
            is_ca = None
        return ends.strftime("%Y-%m-%dT%H:%M:%SZ").zfill(20), is_ca
    return None


def expiryd(program, root):
    """By file name: notAfter and the CA flag of the first certificate."""
    command = [program, "check", "-o", "json", "--host-root", root, "--source", "glob:/*@operator"]
    report = json.loads(subprocess.run(command, capture_output=True, check=False).stdout)
    first = [c for c in report["certificates"] if c["index"] == 0]
    return {c["path"].removeprefix("/"): (c["notAfter"], c["isCA"]) for c in first}


def main():
    program, folders = sys.argv[1], sys.argv[2:]
    files = [os.path.join(at, name) for f in folders for at, _, names in os.walk(f) for name in names]
    with tempfile.TemporaryDirectory() as root:
        names = {}
        for number, path in enumerate(sorted(files)):
            name = f"{number:05}-{os.path.basename(path)}"
            shutil.copyfile(path, os.path.join(root, name))
            names[name] = path
        ours = expiryd(program, root)
    compared, wrong = 0, []
    for name, path in names.items():
        with open(path, "rb") as file:
            theirs = cryptography(file.read())
        other = theirs and openssl(path)
        if not other:
            continue
        compared += 1
        seen = ours.get(name)
        flags = {other[1]} if theirs[1] is None else {other[1], theirs[1]}
        agrees = seen and {seen[0]} == {other[0], theirs[0]} and {seen[1]} == flags
        short = os.path.basename(path)
        if agrees == (short in DIFFERENT):
            wrong.append(f"{short}: expiryd {seen}, OpenSSL {other}, cryptography {theirs}")
    print("\n".join(wrong))
    print(f"{compared} of {len(names)} files are certificates to both; {len(wrong)} surprises")
    sys.exit(bool(wrong) or compared < 100)


main()
