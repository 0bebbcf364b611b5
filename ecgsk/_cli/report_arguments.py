"""The words of ``ecgsk report``, apart from what it does: ``--help`` imports nothing slow."""

from ecgsk._cli.arguments import add_model_arguments


def add_report_arguments(commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "report",
        help="a saved model and records in, one HTML file out",
        description="Write a report of a model on a cohort in EchoNext's layout, or on single "
        "ECGs.",
    )
    add_model_arguments(parser)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--echonext", metavar="DIR", help="folder of EchoNext, or of make_echonext")
    source.add_argument(
        "--ecg", metavar="RECORD", nargs="+", help="WFDB records: a report on each, no accuracy"
    )
    parser.add_argument("--out", metavar="FILE", default="report.html", help="default: report.html")
    parser.add_argument("--target", default="lvef<=45", help="of --echonext (default: lvef<=45)")
    parser.add_argument("--split", default="test", help="of --echonext (default: test)")
    parser.add_argument(
        "--validation", default="val", metavar="SPLIT",
        help="split that thresholds are chosen on, or none (default: val)",
    )  # fmt: skip
    parser.add_argument("--threshold", type=float, help="instead of that of the greatest F1")
    parser.add_argument(
        "--patients", metavar="KEY", nargs="*", default=[],
        help="ecg_key of records that are shown one by one",
    )  # fmt: skip
    parser.add_argument(
        "--leads", type=int, default=0, metavar="N",
        help="measure the importance of leads on N records",
    )  # fmt: skip
    parser.add_argument("--resamples", type=int, default=1000, help="for intervals (default: 1000)")
    parser.add_argument(
        "--sampling-rate", type=float, metavar="HZ",
        help="that the model takes; --ecg is resampled to it (default: 250, that of --echonext)",
    )  # fmt: skip
    parser.add_argument(
        "--remove-baseline", action="store_true",
        help="take the baseline out of --ecg as it was of EchoNext's recordings",
    )  # fmt: skip
    parser.add_argument("--about", metavar="TEXT", help="for the model card: what it learnt from")
    parser.add_argument("--title", metavar="TEXT")
