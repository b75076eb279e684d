"""What is damaged is made again before the call does what it was called for: after all rules, which it asks what they make."""

from pipeline import lock

if first and not repair.within():
    try:
        repair.repair(workflow.rules, lock.descriptor(Path(".snakemake")), sys.argv[1:])
    except StudyError as error:
        raise WorkflowError(told(error)) from None
