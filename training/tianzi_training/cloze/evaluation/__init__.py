"""How the blank filler is measured: on CMRC 2017's questions and on documents held out."""
