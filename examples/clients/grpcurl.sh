#!/bin/sh
# grpcurl needs no file of ours: the server tells its API. sh examples/clients/grpcurl.sh [HOST:PORT]
set -eu
address=${1:-localhost:50051}
here=$(dirname "$0")

grpcurl -plaintext "$address" list
# Bytes are base64 in JSON.
printf '{"image": "%s", "top_k": 3}' "$(base64 <"$here/../tian.png" | tr -d '\n')" |
    grpcurl -plaintext -d @ "$address" tianzi.v1.OcrService/Recognize
grpcurl -plaintext -d '{"text": "小猫钓鱼，____很高兴。", "top_k": 3}' "$address" tianzi.v1.ClozeService/Fill
