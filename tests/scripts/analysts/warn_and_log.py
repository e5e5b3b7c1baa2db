import logging
import warnings

logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
log = logging.getLogger("report")
log.info("start")
warnings.simplefilter("always")
with warnings.catch_warnings(record=True) as caught:
    warnings.warn("column is deprecated", DeprecationWarning)
print(len(caught), caught[0].category.__name__)
logging.captureWarnings(True)
warnings.warn("to the log")
log.error("end")
