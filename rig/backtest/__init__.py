"""Histories of fixes through the geofence core: crossings and dwell per device and zone, in bounded memory.

::

    files --Batch--> Sequencer --Fixes--> Chunker --Chunk--> judges --Judged--> Stitcher --> files
    read, checked    per device,          cut, with each     processes  in the order of
                     by time              device's last fix  or Dask    chunks, one pass
"""
