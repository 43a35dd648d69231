"""A strict reader of OpenQASM 3: what it does not understand it names, with line and column."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from qfedfm.circuits.angle import Angle, constant
from qfedfm.circuits.circuit import Circuit, Gate, Observable, pauli
from qfedfm.circuits.gates import GATES
from qfedfm.circuits.openqasm.expressions import CONSTANTS, Words, read_angle, read_observable
from qfedfm.circuits.openqasm.parameters import Parameters
from qfedfm.circuits.openqasm.standard import STANDARD
from qfedfm.circuits.openqasm.tokens import QasmError, Token, tokens
from qfedfm.core.config import nearest
from qfedfm.core.errors import RequestError

#: Other names of gates of ours, in stdgates.inc or built in.
_ALIASES = {"phase": "p", "u1": "p", "cphase": "cp", "CX": "cx", "U": "u3"}
_UNSUPPORTED = {
    "measure": "measurements (observables are annotations: @qfedfm.observable Z[0])",
    "bit": "classical bits", "creg": "classical bits", "output": "outputs", "reset": "reset", "if": "if",
    "else": "else", "for": "loops", "while": "loops", "switch": "switch", "def": "subroutines",
    "extern": "extern", "return": "return", "gate": "gate definitions (write the gates they stand for)",
    "ctrl": "gate modifiers (ctrl @)", "negctrl": "gate modifiers (negctrl @)",
    "inv": "gate modifiers (inv @)", "pow": "gate modifiers (pow @)", "let": "aliases (let)",
    "const": "constants", "float": "variables", "int": "variables", "uint": "variables",
    "angle": "variables", "bool": "variables", "complex": "variables", "duration": "durations",
    "stretch": "durations", "delay": "delay", "box": "box", "cal": "pulse calibrations",
    "defcal": "pulse calibrations", "defcalgrammar": "pulse calibrations", "pragma": "pragmas",
    "array": "arrays", "break": "loops", "continue": "loops", "end": "end", "nop": "nop", "opaque": "opaque",
    "qreg": "qreg (OpenQASM 2; write qubit[n] q;)",
}  # fmt: skip
#: Far more than any executor runs; a slip of the keyboard must not fill the memory.
MOST_QUBITS = 10_000


@dataclass(frozen=True)
class QasmFile:
    """What a file holds.

    Attributes:
        circuit: The circuit.
        notes: Sentences for the user about what the file does not say and was chosen.
        fixed: What was written into the file as numbers, as its annotations say.
        inputs: The names that the inputs have in the file, in order.
        weights: The names that the weights have in the file, in order.
        qubits: The names that the qubits have in the file, in order, such as ``q[0]``.
    """

    circuit: Circuit
    notes: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    weights: tuple[str, ...] = ()
    qubits: tuple[str, ...] = ()


def read_qasm_file(path: str | Path) -> QasmFile:
    """Reads a file; see :func:`read_qasm`."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RequestError(f"{path}: not UTF-8 text (byte {error.start}); save the file as UTF-8") from error
    except OSError as error:
        raise RequestError(
            f"{path}: cannot be read ({error.strerror}); give the path of an OpenQASM 3 file"
        ) from error
    return read_qasm(text, source=str(path), name=path.stem)


def read_qasm(text: str, *, source: str = "the program", name: str = "circuit") -> QasmFile:
    """Reads an OpenQASM 3 program.

    Parameters are scalars (``input float[64] theta;``), inputs or weights as ``@qfedfm.input`` and
    ``@qfedfm.weight`` say, or by their names: ``x_0``, ``x_1`` ... are inputs, ``w_0``, ``w_1`` ...
    weights. Without ``@qfedfm.observable``, ``Z`` of every qubit is measured, and a note says so.

    Args:
        text: The program.
        source: The file's name, for errors and notes.
        name: The circuit's name.

    Raises:
        QasmError: If it does not parse, or uses what is not supported; says where.
    """
    return _Reader(text, source, name).read()


class _Reader:
    def __init__(self, text: str, source: str, name: str) -> None:
        self.words = Words(tokens(text, source), source)
        self.source, self.name = source, name
        self.parameters = Parameters(source)
        self.qubits: dict[str, range] = {}
        self.qubit_names: list[str] = []
        self.gates: list[Gate] = []
        self.observables: list[tuple[Token, Observable]] = []
        self.fixed: list[str] = []

    def read(self) -> QasmFile:
        self._version()
        while self.words.next.kind != "end":
            self._statement()
        self.parameters.finish(self.words.next)
        count = sum(len(register) for register in self.qubits.values())
        if not count:
            raise self.words.error("the program declares no qubits: expected for example qubit[4] q;")
        for token, observable in self.observables:
            for qubit in sorted(observable.qubits):
                if qubit >= count:
                    raise token.error(
                        self.source,
                        f"the observable is on qubit {qubit}, but the circuit has qubits 0 to {count - 1}",
                    )
        notes: list[str] = []
        chosen = tuple(observable for _, observable in self.observables)
        if not chosen:
            chosen = tuple(pauli("Z", qubit) for qubit in range(count))
            notes.append(
                f"{self.source} names no observables (@qfedfm.observable): Z of every qubit is measured"
            )
        circuit = Circuit(
            count,
            tuple(self.gates),
            chosen,
            inputs=tuple(self.parameters.registers["input"]),
            weights=tuple(self.parameters.registers["weight"]),
            name=self.name,
        )
        return QasmFile(
            circuit,
            tuple(notes),
            tuple(self.fixed),
            inputs=tuple(self.parameters.names["input"]),
            weights=tuple(self.parameters.names["weight"]),
            qubits=tuple(self.qubit_names),
        )

    def _version(self) -> None:
        first = self.words.next
        if not self.words.skip("OPENQASM"):
            raise first.error(self.source, f"expected OPENQASM 3.0; in the first line, found {first}")
        version = self.words.take()
        if version.kind != "number" or version.text.split(".")[0] != "3":
            raise version.error(self.source, f"expected version 3.0 of OpenQASM, found {version}")
        self.words.expect(";")

    def _statement(self) -> None:
        token = self.words.next
        if token.kind == "annotation":
            self._annotation(self.words.take())
        elif self.words.skip(";"):
            pass
        elif token.kind != "name":
            raise token.error(self.source, f"expected a statement, found {token}")
        elif token.text == "include":
            self._include()
        elif token.text == "input":
            self._input()
        elif token.text == "qubit":
            self._qubit()
        elif token.text == "barrier":
            self._barrier()
        elif token.text == "gphase":
            self._global_phase()
        elif token.text in _UNSUPPORTED:
            raise token.error(self.source, f"{_UNSUPPORTED[token.text]}: not supported")
        else:
            self._gate()

    # Declarations

    def _include(self) -> None:
        self.words.take()
        file = self.words.take()
        if file.kind != "string" or file.text[1:-1] != "stdgates.inc":
            raise file.error(self.source, f'include of {file} is not supported, only "stdgates.inc"')
        self.words.expect(";")

    def _annotation(self, token: Token) -> None:
        keyword, _, rest = token.text[1:].lstrip().partition(" ")
        if token.text[0] != "@":
            raise token.error(self.source, "pragmas: not supported")
        if not keyword.startswith("qfedfm."):
            return  # of other tools; by the language, to be skipped by those who do not know it
        kind = keyword.removeprefix("qfedfm.")
        if kind == "observable":
            column = token.column + token.text.index(keyword) + len(keyword) + 1
            if not rest.strip():
                raise token.error(self.source, "the observable is missing, for example Z[0]")
            found = read_observable(rest, self.source, token.line, column)
            self.observables.append((token, found))
        elif kind == "fixed":
            self.fixed.append(rest.strip())
        elif kind in ("input", "weight"):
            self.parameters.annotate(token)
        else:
            known = [f"qfedfm.{name}" for name in ("fixed", "input", "observable", "weight")]
            raise token.error(self.source, f"unknown annotation {keyword}{nearest(keyword, known)}")

    def _input(self) -> None:
        self.words.take()
        kind = self.words.next
        if kind.text not in ("float", "angle"):
            raise kind.error(
                self.source, f"only scalar inputs are supported (input float[64] x_0;), found {kind}"
            )
        self.words.take()
        if self.words.skip("["):
            self.words.whole("the number of bits")
            self.words.expect("]")
        name = self.words.name("the name of the input")
        self.words.expect(";")
        self._free(name)
        self.parameters.declare(name)

    def _free(self, name: Token) -> None:
        """Raises if a name is taken."""
        if name.text in self.parameters.angles or name.text in self.qubits:
            raise name.error(self.source, f"{name.text!r} is declared twice")
        if name.text in STANDARD or name.text in _ALIASES or name.text in CONSTANTS:
            raise name.error(self.source, f"{name.text!r} has a meaning already: choose another name")

    def _qubit(self) -> None:
        self.words.take()
        size, indexed = 1, self.words.skip("[")
        if indexed:
            size = self.words.whole("the number of qubits")
            self.words.expect("]")
        name = self.words.name("the name of the qubits")
        self.words.expect(";")
        self._free(name)
        if size < 1:
            raise name.error(self.source, "a register needs at least one qubit")
        start = sum(len(register) for register in self.qubits.values())
        if start + size > MOST_QUBITS:
            raise name.error(
                self.source, f"{start + size} qubits are more than the {MOST_QUBITS} that are read"
            )
        self.qubits[name.text] = range(start, start + size)
        self.qubit_names += [f"{name.text}[{k}]" if indexed else name.text for k in range(size)]

    # Gates

    def _barrier(self) -> None:
        self.words.take()
        while not self.words.skip(";"):
            self._operand()
            if self.words.next.text != ";":
                self.words.expect(",")

    def _global_phase(self) -> None:
        self.words.take()
        self.words.expect("(")
        read_angle(self.words, self.parameters.angles)
        self.words.expect(")")
        self.words.expect(";")

    def _gate(self) -> None:
        token = self.words.take()
        name = _ALIASES.get(token.text, token.text)
        if name not in STANDARD and name not in ("u2", "u3"):
            known = [*STANDARD, *_ALIASES, "u2", "u3"]
            where = "is not in stdgates.inc" if name in GATES else "is unknown or not supported"
            raise token.error(self.source, f"gate {token.text!r} {where}{nearest(token.text, known)}")
        angles: list[Angle] = []
        if self.words.skip("("):
            while not self.words.skip(")"):
                place = self.words.next
                angles.append(read_angle(self.words, self.parameters.angles))
                if not math.isfinite(angles[-1].offset):
                    raise place.error(self.source, "this angle is not finite")
                if self.words.next.text != ")":
                    self.words.expect(",")
        if name == "u2":
            name, angles, wanted = "u3", [constant(math.pi / 2), *angles], 2
        else:
            wanted = GATES[name].angles
        if len(angles) != GATES[name].angles:
            got = len(angles) - (GATES[name].angles - wanted)
            raise token.error(self.source, f"gate {token.text} takes {wanted} angles, got {got}")
        operands = [self._operand()]
        while self.words.skip(","):
            operands.append(self._operand())
        self.words.expect(";", f" after gate {token.text}")
        self._apply(token, name, tuple(angles), operands)

    def _operand(self) -> tuple[range, bool]:
        """Returns the qubits that an operand stands for, and whether it is a whole register."""
        name = self.words.name("a qubit")
        if name.text not in self.qubits:
            declared = nearest(name.text, self.qubits) if self.qubits else ": no qubits are declared yet"
            raise name.error(self.source, f"there are no qubits {name.text!r}{declared}")
        register = self.qubits[name.text]
        if not self.words.skip("["):
            return register, len(register) > 1
        place = self.words.next
        index = self.words.whole("a qubit's number")
        self.words.expect("]")
        if index >= len(register):
            raise place.error(
                self.source, f"there is no qubit {name.text}[{index}]: {name.text} has {len(register)}"
            )
        return register[index : index + 1], False

    def _apply(
        self, token: Token, name: str, angles: tuple[Angle, ...], operands: list[tuple[range, bool]]
    ) -> None:
        wanted = GATES[name].qubits
        if len(operands) != wanted:
            raise token.error(self.source, f"gate {token.text} takes {wanted} qubits, got {len(operands)}")
        sizes = {len(register) for register, whole in operands if whole}
        if len(sizes) > 1:
            raise token.error(self.source, "registers of different sizes cannot go through one gate")
        for place in range(max(sizes, default=1)):
            qubits = tuple(register[place if whole else 0] for register, whole in operands)
            if len(set(qubits)) < wanted:
                raise token.error(self.source, f"gate {token.text} needs {wanted} different qubits")
            self.gates.append(Gate(name, qubits, angles))


__all__ = ["QasmError", "QasmFile", "read_qasm", "read_qasm_file"]
