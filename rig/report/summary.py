"""``summary.json``: a run in plain numbers, for programs."""

import json
import math
from pathlib import Path
from typing import Any

from rig.report.gather import PHASES, hop_rows, kept_alerts, verdict_sentence
from rig.report.words import nearest_rank
from rig.runs.load import LoadedRun
from rig.truth.findings import RunVerdict
from rig.truth.verdict import Verdict


def write_summary(path: Path, run: LoadedRun, verdict: RunVerdict) -> None:
    """Write the file."""
    path.write_text(json.dumps(summary(run, verdict), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def summary(run: LoadedRun, verdict: RunVerdict) -> dict[str, Any]:  # Any: becomes JSON
    """Return what a program wants to know of a run."""
    file, record = run.file, run.record
    findings = verdict.findings
    return {
        "title": file.title,
        "suite": file.suite,
        "family": file.family,
        "run": file.run,
        "verdict": verdict.verdict.value,
        "sentence": verdict_sentence(verdict),
        "problems": list(verdict.problems),
        "seed": file.seed,
        "pace": file.pace,
        "parameters": dict(file.parameters),
        "roles": [{"role": r.role, "device": r.device, "kind": r.kind, "firmware": r.firmware} for r in file.roles],
        "versions": dict(file.versions),
        "duration_s": run.scenario.duration_s,
        "findings": {each.value: sum(f.verdict is each for f in findings) for each in Verdict},
        "smallest_margin_s": _number(min((f.margin_s for f in findings if f.margin_s is not None), default=math.nan)),
        "messages": record.messages,
        "alerts": [
            {
                "number": seen.index + 1,
                "kind": seen.alert.kind.value,
                "phase": PHASES[seen.msg_type],
                "side": seen.alert.side,
                "subject": seen.alert.subject,
                "zone": seen.alert.zone_id,
                "band": None if seen.alert.band is None else seen.alert.band.value,
                "t_s": round(seen.alert.t_s, 3),
                "total_ms": _number(record.times[seen.index].total_ms) if record.times else None,
            }
            for seen in record.alerts
        ],
        "latency_ms": {
            hop.name: {
                "count": len(hop.values_ms),
                **{name: _number(nearest_rank(hop.values_ms, share)) for name, share in _SHARES.items()},
            }
            for hop in hop_rows(record, kept_alerts(run))
        },
        "measurements": [
            {
                "name": m.name,
                "unit": m.unit,
                "limit": m.limit,
                "worst": _number(m.worst),
                "margin": _number(m.margin),
                "outcome": "MARGINAL" if m.is_marginal else m.verdict.value,
                "count": len(m.series),
            }
            for m in verdict.measurements
        ],
        "faults": sorted({event.fault for event in run.events if event.what == "fault_applied"}),
    }


_SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, 3)
