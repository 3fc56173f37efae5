"""Branch and cut: the program's best whole numbers, and the proof that there are no better ones.

HiGHS solves the linear programs, each from where the last one ended; what is cut off and where to branch is decided
here, because the program is known: few whole numbers over many shares, in which the pools that open decide most.
"""

from __future__ import annotations

import heapq
import math
import time
from typing import Any, cast

import highspy as _highspy
import numpy as np
from msgspec import Struct

from signalbox.planner.cuts import Separator, deepest
from signalbox.planner.instance import Floats
from signalbox.planner.program import Program

_highs = cast(Any, _highspy)

# A number this near to a whole one is one; a plan this little cheaper (USD a month) is no better one.
WHOLE = 1e-6
CHEAPER_USD = 1e-7
# Rounds of cuts at the root and at any other node, cuts in a round, and the depth from which they are worth a row.
ROOT_ROUNDS, NODE_ROUNDS, CUTS_MAX = 12, 3, 12
ROOT_DEPTH, NODE_DEPTH = 1e-3, 5e-3
# A round that moves the bound by less than this share is the last one.
ROUND_GAIN = 2e-4
# Nodes between two attempts to round what a relaxation found.
ROUND_EVERY = 10
# The linear program that sets the shares at last: its tolerance, and its time, however late it is.
FINE = 1e-10
SHARES_S = 5.0


class Searched(Struct, frozen=True):
    """whole: the program's integer columns in order, None when nothing was found. values: those of all columns that are
    best with them. bound: no plan is cheaper. proven: whether the search ended by itself."""

    whole: Floats | None
    values: Floats | None
    bound: float
    proven: bool


class _Point(Struct, frozen=True):
    usd: float
    values: Floats


class _OutOfTime(Exception):
    """The clock ran out inside a linear program."""


class _Unsettled(Exception):
    """HiGHS could not tell what a linear program has."""


class Relaxation:
    """The program with parts of lots, as one HiGHS model that keeps its basis. Raises _OutOfTime and _Unsettled."""

    def __init__(self, program: Program, ends: float) -> None:
        self._ends = ends
        self._model = _highs.Highs()
        for name, value in (("output_flag", False), ("threads", 1), ("random_seed", 1)):
            self._model.setOptionValue(name, value)
        self._integer = np.asarray(program.integer, dtype=np.int32)
        self._model.passModel(_linear(program))

    def add(self, columns: Any, values: Any, high: float) -> None:
        self._model.addRow(-math.inf, high, len(columns), columns.astype(np.int32), values)

    def shares(self, whole: Floats, ends: float) -> Floats | None:
        """The values of all columns that are best with these whole numbers, to a fine tolerance; None without any."""
        self._ends = ends
        self._model.setOptionValue("primal_feasibility_tolerance", FINE)
        try:
            found = self.solve(whole, whole)
        except (_OutOfTime, _Unsettled):
            return None
        return None if found is None else found.values

    def solve(self, low: Floats, high: Floats) -> _Point | None:
        """With the integer columns within these bounds; None when nothing is."""
        self._model.changeColsBounds(len(self._integer), self._integer, low, high)
        if not self._settled():
            self._model.clearSolver()  # a bad basis: from scratch
            if not self._settled():
                raise _Unsettled
        if self._model.getModelStatus() == _highs.HighsModelStatus.kInfeasible:
            return None
        values = np.asarray(self._model.getSolution().col_value)
        return _Point(float(self._model.getInfo().objective_function_value), values)

    def _settled(self) -> bool:
        left_s = self._ends - time.perf_counter()
        if left_s <= 0:
            raise _OutOfTime
        self._model.setOptionValue("time_limit", self._model.getRunTime() + left_s)
        self._model.run()
        status = self._model.getModelStatus()
        if status == _highs.HighsModelStatus.kTimeLimit:
            raise _OutOfTime
        return status in (_highs.HighsModelStatus.kOptimal, _highs.HighsModelStatus.kInfeasible)


def _linear(program: Program) -> Any:
    model = _highs.HighsLp()
    model.num_col_, model.num_row_ = len(program.cost), len(program.row_low)
    model.col_cost_ = np.asarray(program.cost)
    model.col_lower_ = np.zeros(len(program.cost))
    model.col_upper_ = np.asarray(program.upper)
    model.row_lower_, model.row_upper_ = np.asarray(program.row_low), np.asarray(program.row_high)
    model.a_matrix_.format_ = _highs.MatrixFormat.kRowwise
    model.a_matrix_.start_ = np.asarray(program.starts, dtype=np.int32)
    model.a_matrix_.index_ = np.asarray(program.columns, dtype=np.int32)
    model.a_matrix_.value_ = np.asarray(program.values)
    return model


def search(program: Program, gap: float, ends: float) -> Searched:
    """The cheapest whole numbers to within gap. ends: of time.perf_counter()."""
    return _Search(program, gap, ends).run()


class _Search:
    def __init__(self, program: Program, gap: float, ends: float) -> None:
        self._relaxation = Relaxation(program, ends)
        self._ends = ends
        self._separators = [Separator(row) for row in program.capacities]
        self._gap = gap
        self._integer = np.asarray(program.integer, dtype=np.int64)
        self._opens = np.isin(self._integer, [*program.open_columns.values(), program.team_column])
        self._low = np.zeros(len(self._integer))
        self._high = np.asarray(program.upper)[self._integer]
        self._usd = math.inf
        self._whole: Floats | None = None
        self._nodes = 0
        # (bound, order, low, high): the nodes to come, the least bound first.
        self._left: list[tuple[float, int, Floats, Floats]] = []
        # The least bound of what was given up without being settled.
        self._given_up = math.inf

    def run(self) -> Searched:
        self._push(-math.inf, self._low, self._high)
        proven = True
        while self._left and self._left[0][0] < self._enough():
            bound, _, low, high = heapq.heappop(self._left)
            try:
                self._dive(bound, low, high)
            except _OutOfTime:
                proven = False
                break
        least = min([self._given_up, *(node[0] for node in self._left)])
        proven = proven and self._given_up >= self._enough()
        values = None
        if self._whole is not None:
            values = self._relaxation.shares(self._whole, max(self._ends, time.perf_counter() + SHARES_S))
        return Searched(self._whole, values, min(self._usd, least), proven)

    def _push(self, bound: float, low: Floats, high: Floats) -> None:
        self._nodes += 1
        heapq.heappush(self._left, (bound, self._nodes, low, high))

    def _enough(self) -> float:
        """A node of which the bound is no less than this holds nothing that is worth looking for."""
        if self._usd == math.inf:
            return math.inf
        return self._usd - max(CHEAPER_USD, self._gap * abs(self._usd))

    def _dive(self, bound: float, low: Floats, high: Floats) -> None:
        """From a node down, always to the nearer side, until nothing better can be below; the other sides are kept."""
        while True:
            try:
                found = self._tightened(low, high)
            except _OutOfTime:
                self._push(bound, low, high)
                raise
            except _Unsettled:
                self._given_up = min(self._given_up, bound)
                return
            if found is None or found.usd >= self._enough():
                self._given_up = min(self._given_up, math.inf if found is None else self._kept(found.usd))
                return
            bound = max(bound, found.usd)
            numbers = found.values[self._integer]
            off = np.abs(numbers - np.rint(numbers))
            if not off.size or off.max() < WHOLE:
                self._usd, self._whole = found.usd, np.rint(numbers)
                return
            at = int(np.argmax(np.where(off < WHOLE, -1.0, off + 2.0 * self._opens)))
            below, above = high.copy(), low.copy()
            below[at], above[at] = math.floor(numbers[at]), math.ceil(numbers[at])
            if numbers[at] - below[at] > 0.5:
                self._push(bound, low, below)
                low = above
            else:
                self._push(bound, above, high)
                high = below

    def _kept(self, usd: float) -> float:
        """What a node that was not followed says of the bound: nothing, unless the gap let it go."""
        return usd if usd < self._usd - CHEAPER_USD else math.inf

    def _tightened(self, low: Floats, high: Floats) -> _Point | None:
        """The relaxation of a node after a few rounds of cuts, which hold for every other node too."""
        root = self._nodes == 1
        found = self._relaxation.solve(low, high)
        for _ in range(ROOT_ROUNDS if root else NODE_ROUNDS):
            if found is None or found.usd >= self._enough():
                return found
            cuts = deepest(self._separators, found.values, ROOT_DEPTH if root else NODE_DEPTH, CUTS_MAX)
            if not cuts:
                break
            for cut in cuts:
                self._relaxation.add(cut.columns, cut.values, cut.high)
            before, found = found.usd, self._relaxation.solve(low, high)
            if found is not None and found.usd - before < ROUND_GAIN * abs(before):
                break
        if found is not None and self._nodes % ROUND_EVERY == 1:
            self._round(found, low, high)
        return found

    def _round(self, found: _Point, low: Floats, high: Floats) -> None:
        """A plan from a relaxation: every pool that is open at all is open, and lots are rounded up."""
        numbers = found.values[self._integer]
        whole = np.where(self._opens, np.where(numbers > WHOLE, 1.0, 0.0), np.ceil(numbers - WHOLE))
        whole = np.clip(whole, low, high)
        rounded = self._relaxation.solve(whole, whole)
        if rounded is not None and rounded.usd < self._usd - CHEAPER_USD:
            self._usd, self._whole = rounded.usd, whole
