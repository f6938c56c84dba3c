# From a folder of photos to a model, a report and a prediction: sh minicnn_way.sh FOLDER PHOTO
python -m minicnn train "$1"
python -m minicnn predict model.safetensors "$2"
